"""The FIX 4.4 acceptor: brokers' order entry as their own systems speak it.

`dictionary` is the one table of messages and fields; `codec` reads and writes bytes by it;
`session` is the session layer as a pure function; `store` keeps numbers and sent messages over a
restart; `requests` and `reports` translate to and from the venue's own messages; `member` is one
key's session and `acceptor` its socket. What comes in goes the way of every other door, to topic
`orders`; what goes out are the execution reports made from `events`.
"""
