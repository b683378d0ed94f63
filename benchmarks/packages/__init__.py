"""Benchmarks of release packages: ratios against named peers in one run."""
