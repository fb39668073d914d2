"""Run by Alembic, on the connection and in the transaction that `database.py` gives it."""

from alembic import context

from binsight.storage.ledger.migrate import VERSION_TABLE
from binsight.storage.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
