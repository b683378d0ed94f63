"""The shipped suites: one thin test a gate, run for each case that the environment's system has."""
