"""The whole venue in one process under one seed, with everything that can go wrong.

`house` starts the services, `members` and `clerks` use them over `wire`, `nemesis` breaks things,
`story` is what people do, `run` puts a seed together and lets the auditor judge it.
"""
