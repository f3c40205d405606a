"""What operators do, alone or by two, and what the clock does for them."""
