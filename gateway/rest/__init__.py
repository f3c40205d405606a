"""REST: from the parser of HTTP to the table of routes, and the description of both."""
