"""The venue: everything between a broker's order on `orders` and a tonne in the registry.

Folders in the data's order: `messages` (the vocabulary), `topics` (the map), `log` (the ordered
log), `engine` (orders -> events), `settlement` (events -> ledger, `settlements`), `registry`
(`settlements` -> serial blocks, `registry`), `marketdata` (events -> `marketdata`),
`surveillance` (events -> `alerts`).
"""

__version__ = "0.1.0"
