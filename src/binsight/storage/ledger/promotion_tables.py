"""The tables of promotions, beside those of `tables.py`."""

import sqlalchemy as sa

from binsight.storage.ledger.tables import metadata

promotion_sets = sa.Table(
    "promotion_sets",
    metadata,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("dataset_sha256", sa.String(64), nullable=False),
    sa.Column("split", sa.String(10), nullable=False),
    sa.Column("num_photos", sa.Integer, nullable=False),
    sa.Column("photos", sa.Text, nullable=False),
    sa.Column("frozen_at", sa.String(32), nullable=False),
    sa.Column("frozen_by", sa.String(200), nullable=False),
)

promotion_looks = sa.Table(
    "promotion_looks",
    metadata,
    sa.Column("set_sha256", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("champion", sa.String(12), nullable=False),
    sa.Column("challenger", sa.String(12), nullable=False),
    sa.Column("looked_at", sa.String(32), nullable=False),
    sa.Column("looked_by", sa.String(200), nullable=False),
    sa.UniqueConstraint("set_sha256", "champion", "challenger", name="promotion_looks_once"),
)

promotion_decisions = sa.Table(
    "promotion_decisions",
    metadata,
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
