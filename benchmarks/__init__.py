"""Measurements: each prints a table, writes JSON to `results/` and checks its own answer."""
