"""The market page: reads the public routes and the public feed, writes nothing."""
