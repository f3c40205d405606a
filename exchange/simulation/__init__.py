"""The venue tried on real days: published quotes planned, traded, settled and checked.

Reads quote files; writes commands on `orders`; reads `events` and `marketdata` back. `quotes` and
`planner` are pure, `flow` makes orders of a plan, `window` runs the venue, `proof` checks it. The
brokers and the compliance scene of the demo trade through whatever client they are given.
"""
