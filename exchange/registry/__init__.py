"""The registry: reads `settlements`, writes `registry`, and deposits as commands on `orders`.

Units are ranges of serial numbers. In the order of the data: `blocks` is the arithmetic of ranges,
`holdings` the state (who holds which block where, what is owed), `places` which of its blocks are
in memory and `wants` which of them an item may take, `instructions` what each settled item does to
the state (`encumbrances`: freezes and pledges; `reversals`: undone by two; `compliance_year`,
`allocations`, `carry_over`: the steps of a year, `years` their figures and rows;
`surrenders`: what a surrender is checked against, `projects`: which credits a rule takes;
`accounts`: types, trusted lists, blocks; `transfers`: those that wait, by the `calendar`; `saga`
and `two_registries`: credits kept elsewhere; `standings`: the state of all these; `refusals`: why
nothing is done), `store` one SQL transaction for a batch, `service` drives them, `queries` and
`year_queries` read the books.
"""

from exchange.registry.blocks import serial_text
from exchange.registry.service import RegistryService

__all__ = ["RegistryService", "serial_text"]
