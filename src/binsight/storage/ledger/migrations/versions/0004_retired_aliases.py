"""An alias may point nowhere: it was retired, and its row keeps the number of its moves."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # In a batch: SQLite cannot change a column, and has the table copied.
    with op.batch_alter_table("aliases") as aliases:
        aliases.alter_column("version", existing_type=sa.String(12), nullable=True)
    with op.batch_alter_table("alias_moves") as alias_moves:
        alias_moves.alter_column("to_version", existing_type=sa.String(12), nullable=True)
