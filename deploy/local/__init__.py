"""Real servers for this machine: Apache Kafka and PostgreSQL as child processes on loopback.

`make venue` and the tests use them, so what runs here speaks to the same servers as a real
deployment.  Nothing in this package is part of the exchange itself, and nothing here is meant
for production: one node, no authentication, loopback only.

* `deploy.local.kafka`: a single-node KRaft broker from its Maven jars.
* `deploy.local.postgres`: a PostgreSQL cluster from installed binaries or a wheel.
* `deploy.local.chromium`: finds a browser for page tests and promtool for alert-rule tests.
* `deploy.local.ensure`: gets all of them; run `python -m deploy.local.ensure`.
"""
