"""What was asked becomes commands on `orders`, whichever door it came through."""
