"""What a gateway knows: projections of the topics that it follows."""
