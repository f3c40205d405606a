"""The documents; `generate` makes those that are only a view of the code."""
