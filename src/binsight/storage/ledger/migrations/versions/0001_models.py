"""Versions of models, aliases, and every move of an alias."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "model_versions",
        sa.Column("version", sa.String(12), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("registered_at", sa.String(32), nullable=False),
        sa.Column("registered_by", sa.String(200), nullable=False),
        sa.Column("lineage", sa.Text, nullable=False),
    )
    op.create_table(
        "aliases",
        sa.Column("alias", sa.String(40), primary_key=True),
        sa.Column("version", sa.String(12), sa.ForeignKey("model_versions.version"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_table(
        "alias_moves",
        sa.Column("alias", sa.String(40), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True),
        sa.Column("from_version", sa.String(12), sa.ForeignKey("model_versions.version")),
        sa.Column("to_version", sa.String(12), sa.ForeignKey("model_versions.version"), nullable=False),
        sa.Column("moved_at", sa.String(32), nullable=False),
        sa.Column("moved_by", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
