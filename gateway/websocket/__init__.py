"""WebSocket: order sessions, the public feed, and the description of both."""
