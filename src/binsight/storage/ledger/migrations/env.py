"""Run by Alembic, on the connection and in the transaction that `database.py` gives it."""

from alembic import context

from binsight.storage.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="ledger_version",
    transactional_ddl=True,
)
context.run_migrations()
