"""The terminal in the browser: the market for everybody, and what a key's role may do."""
