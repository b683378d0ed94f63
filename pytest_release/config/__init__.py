"""YAML files that people write -> frozen objects; nothing here talks to a network."""
