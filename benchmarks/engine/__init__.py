"""The engine alone: frames in memory in, event records out; see `benchmarks.engine.__main__`."""
