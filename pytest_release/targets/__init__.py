"""One module a service: each speaks with it, bounded in time and memory, and judges nothing."""
