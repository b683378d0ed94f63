"""A run, shown: one function a format, each of the same verdict, each escaping everything."""
