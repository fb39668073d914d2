"""Indices for questions that read all tasks, or all counts of a person, once there were millions."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    is_open = sa.text("state IN ('count', 'recount')")
    op.create_index("tasks_by_lease_end", "tasks", ["leased_until"])
    op.create_index("tasks_open", "tasks", ["rank", "id"], postgresql_where=is_open, sqlite_where=is_open)
    op.create_index(
        "tasks_open_by_aisle",
        "tasks",
        ["site", "aisle", "rank", "id"],
        postgresql_where=is_open,
        sqlite_where=is_open,
    )
    op.create_index("counts_by_time", "counts", ["user", "counted_at"])
