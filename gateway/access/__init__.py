"""Who comes in: addresses, connections, keys, logins, roles, and how much each may ask."""
