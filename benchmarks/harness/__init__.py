"""Our engine in the public cross-engine benchmark; see README.md and `__main__`."""
