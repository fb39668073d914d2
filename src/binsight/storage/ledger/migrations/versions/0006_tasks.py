"""People and their sessions, policies, tasks, leases, counts and what was decided on them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("disabled_at", sa.String(32)),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("user", sa.String(12), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("used_at", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.String(32), nullable=False),
    )
    op.create_table(
        "policies",
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("set_at", sa.String(32), nullable=False),
        sa.Column("set_by", sa.String(200), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("audit", sa.String(36), sa.ForeignKey("audits.id"), nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("rank", sa.BigInteger, nullable=False),
        sa.Column("origin", sa.String(20), nullable=False),
        sa.Column("site", sa.String(200), nullable=False),
        sa.Column("aisle", sa.String(200), nullable=False),
        sa.Column("bin_id", sa.String(200), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("from_photo", sa.Boolean, nullable=False),
        sa.Column("settle_at", sa.String(32)),
        sa.Column("posted_at", sa.String(32)),
        sa.Column("quantity", sa.BigInteger),
        sa.Column("lease", sa.String(36)),
        sa.Column("leased_until", sa.String(32)),
        sa.ForeignKeyConstraint(["audit", "place"], ["audit_lines.audit", "audit_lines.place"]),
        sa.UniqueConstraint("audit", "place", name="one_task_a_line"),
    )
    op.create_index("tasks_by_state", "tasks", ["state", "rank", "id"])
    op.create_index("tasks_by_lease", "tasks", ["lease"])
    op.create_index("tasks_by_settling", "tasks", ["settle_at"])
    op.create_table(
        "leases",
        sa.Column("token", sa.String(36), primary_key=True),
        sa.Column("task", sa.String(36), sa.ForeignKey("tasks.id"), nullable=False),
        sa.Column("user", sa.String(12), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("where", sa.String(10), nullable=False),
        sa.Column("leased_at", sa.String(32), nullable=False),
    )
    op.create_index("leases_by_task", "leases", ["task"])
    op.create_table(
        "counts",
        sa.Column("token", sa.String(36), sa.ForeignKey("leases.token"), primary_key=True),
        sa.Column("task", sa.String(36), sa.ForeignKey("tasks.id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("user", sa.String(12), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("where", sa.String(10), nullable=False),
        sa.Column("counted", sa.BigInteger, nullable=False),
        sa.Column("counted_at", sa.String(32), nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("marks", sa.Text, nullable=False),
        sa.UniqueConstraint("task", "number", name="one_count_a_number"),
    )
    op.create_index("counts_by_user", "counts", ["user", "task"])
    op.create_table(
        "count_acts",
        sa.Column("token", sa.String(36), sa.ForeignKey("counts.token"), primary_key=True),
        sa.Column("kind", sa.String(20), primary_key=True),
        sa.Column("at", sa.String(32), nullable=False),
    )
    op.create_table(
        "skips",
        sa.Column("token", sa.String(36), sa.ForeignKey("leases.token"), primary_key=True),
        sa.Column("task", sa.String(36), sa.ForeignKey("tasks.id"), nullable=False),
        sa.Column("user", sa.String(12), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
    )
    op.create_index("skips_by_task", "skips", ["task", "user"])
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("task", sa.String(36), sa.ForeignKey("tasks.id"), nullable=False),
        sa.Column("user", sa.String(12), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("word", sa.String(20), nullable=False),
        sa.Column("quantity", sa.BigInteger),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
    )
    op.create_index("decisions_by_task", "decisions", ["task", "at"])
