"""Surveillance on flows whose abuse is known: precision and recall of every kind of alert.

`python -m benchmarks.surveillance` trades synthetic days through the engine: ordinary members, and
either abuse of one kind in one of four forms, or honest trading that looks like abuse. Every
alert is then right or wrong, for the flow knows who did what.
"""
