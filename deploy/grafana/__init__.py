"""The dashboard of the venue: `dashboard` makes `venue.json` from the rows it lists."""
