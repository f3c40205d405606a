"""What Alembic runs to migrate: on the connection and in the transaction of its caller."""

from alembic import context

from exchange.database.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,  # SQLite too: the caller began the transaction itself
)
with context.begin_transaction():
    context.run_migrations()
