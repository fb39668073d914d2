"""What versions come from, whose bundles were removed, which sets judged which challengers, and what was decided."""

import json

import sqlalchemy as sa
from alembic import op

from binsight.storage.ledger.lineage import columns_of, parent_of

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    with op.batch_alter_table("model_versions") as versions:
        for name, length in (
            ("dataset_sha256", 64),
            ("recipe_sha256", 64),
            ("weights_sha256", 64),
            ("git", 64),
            ("code", 40),
            ("parent", 12),
            ("removed_at", 32),
            ("removed_by", 200),
        ):
            versions.add_column(sa.Column(name, sa.String(length)))
    _fill(op.get_bind())
    op.create_table(
        "promotion_sets",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("dataset_sha256", sa.String(64), nullable=False),
        sa.Column("split", sa.String(10), nullable=False),
        sa.Column("num_photos", sa.Integer, nullable=False),
        sa.Column("photos", sa.Text, nullable=False),
        sa.Column("frozen_at", sa.String(32), nullable=False),
        sa.Column("frozen_by", sa.String(200), nullable=False),
    )
    op.create_table(
        "promotion_looks",
        sa.Column("set_sha256", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("champion", sa.String(12), nullable=False),
        sa.Column("challenger", sa.String(12), nullable=False),
        sa.Column("looked_at", sa.String(32), nullable=False),
        sa.Column("looked_by", sa.String(200), nullable=False),
        sa.UniqueConstraint("set_sha256", "champion", "challenger", name="promotion_looks_once"),
    )
    op.create_table(
        "promotion_decisions",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("decided_at", sa.String(32), nullable=False),
        sa.Column("decided_by", sa.String(200), nullable=False),
        sa.Column("champion", sa.String(12), nullable=False),
        sa.Column("challenger", sa.String(12), nullable=False),
        sa.Column("set_sha256", sa.String(64), nullable=False),
        sa.Column("word", sa.String(10), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Index("promotion_decisions_by_time", "decided_at"),
    )


def _fill(connection: sa.Connection) -> None:
    """Of versions that were registered before: what their own lineage says."""
    columns = ("version", "lineage", "dataset_sha256", "recipe_sha256", "weights_sha256", "git", "code", "parent")
    table = sa.table("model_versions", *(sa.column(name) for name in columns))
    rows = connection.execute(sa.select(table.c.version, table.c.lineage)).all()
    lineages = {row.version: json.loads(row.lineage) for row in rows}
    weights = {version: lineage.get("weights_sha256") for version, lineage in lineages.items()}
    for version, lineage in lineages.items():
        values = columns_of(lineage) | {"parent": parent_of(version, lineage, weights)}
        connection.execute(sa.update(table).where(table.c.version == version).values(values))
