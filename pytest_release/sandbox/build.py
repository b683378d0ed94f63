"""The build that the sandbox says it is, in its health answer and in its packages."""

VERSION = "1.0.0"
COMMIT = "d34bcae5b1f0c4a2976e8d31c05b7fa9e6421d80"
