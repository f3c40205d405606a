"""The parts of a deterministic simulation of the whole venue under faults.

`loop` is the machine, `books` its database, `plan` what one seed is about, `auditor` what must hold
afterwards. `gateway.faults` puts the venue together on them; `deploy/docs/simulation.md` tells how
to read what it finds.
"""
