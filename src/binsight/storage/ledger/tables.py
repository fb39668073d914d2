"""The tables as the newest migration leaves them; a test compares the two."""

import sqlalchemy as sa

metadata = sa.MetaData()

model_versions = sa.Table(
    "model_versions",
    metadata,
    sa.Column("version", sa.String(12), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("registered_at", sa.String(32), nullable=False),
    sa.Column("registered_by", sa.String(200), nullable=False),
    sa.Column("lineage", sa.Text, nullable=False),
)

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("alias", sa.String(40), primary_key=True),
    sa.Column("version", sa.String(12), sa.ForeignKey("model_versions.version")),
    sa.Column("revision", sa.Integer, nullable=False),
)

alias_moves = sa.Table(
    "alias_moves",
    metadata,
    sa.Column("alias", sa.String(40), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("from_version", sa.String(12), sa.ForeignKey("model_versions.version")),
    sa.Column("to_version", sa.String(12), sa.ForeignKey("model_versions.version")),
    sa.Column("moved_at", sa.String(32), nullable=False),
    sa.Column("moved_by", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
