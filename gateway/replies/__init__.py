"""What the REST interface answers, as types: of routes, client and command line alike."""
