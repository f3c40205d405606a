"""Programs to begin with: a market maker, a compliance buyer, a recorder of the feed."""
