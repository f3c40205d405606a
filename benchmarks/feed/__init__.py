"""The public feed: one process, 200 subscribers, each with every delta and trade of a market."""
