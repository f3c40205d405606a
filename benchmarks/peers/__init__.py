"""Matching engines that Python can install, beside ours; see `benchmarks.peers.__main__`.

`flow`, `adapters`, `adapters_pure` and `child` run in the peers' own environments, so they import
nothing but the standard library and the peer.
"""
