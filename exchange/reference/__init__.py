"""Reference data: the venue file (markets, instruments, participants, accounts, keys)."""
