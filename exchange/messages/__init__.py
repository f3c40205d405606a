"""The vocabulary: every message of the venue, as data without behaviour.

Hot messages (`orders`, `events`) are frames of fixed records: `frames`. Everything else is a frozen
msgspec struct with an integer tag; structs grow only at the end, with defaults, and golden bytes of
every released version stay in the tests.
"""
