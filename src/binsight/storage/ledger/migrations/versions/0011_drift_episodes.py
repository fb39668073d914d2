"""Drift that services see; which retraining answered it, and which labels of captures it had; with which share captures
were kept."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "drift_episodes",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("version", sa.String(12), nullable=False),
        sa.Column("began_at", sa.String(32), nullable=False),
        sa.Column("seen_at", sa.String(32), nullable=False),
        sa.Column("ended_at", sa.String(32)),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
    )
    op.create_index("drift_episodes_by_version", "drift_episodes", ["version", "number"])
    op.add_column("retrainings", sa.Column("drift", sa.Integer))
    op.add_column("retrainings", sa.Column("num_labelled", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("retrainings", sa.Column("labelled_until", sa.String(32)))
    op.add_column("captures", sa.Column("share", sa.Float))
