"""The demonstration venue, its members, and a class held on it."""
