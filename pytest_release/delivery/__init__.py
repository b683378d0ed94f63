"""Packages on their way: made of one deployment, installed into another."""
