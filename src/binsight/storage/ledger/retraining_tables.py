"""Further tables as the newest migration leaves them: those of retrainings, and of what they may be due for."""

import sqlalchemy as sa

from binsight.storage.ledger.tables import metadata

retrainings = sa.Table(
    "retrainings",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("begun_at", sa.String(32), nullable=False),
    sa.Column("begun_by", sa.String(200), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("inputs_sha256", sa.String(64), nullable=False),
    sa.Column("num_counts", sa.BigInteger, nullable=False),
    sa.Column("champion", sa.String(12), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("step", sa.String(20), nullable=False),
    sa.Column("changed_at", sa.String(32), nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("challenger", sa.String(12)),
    sa.Column("watch", sa.String(20)),
    sa.Column("alias", sa.String(40)),
    sa.Column("revision", sa.Integer),
    sa.Column("drift", sa.Integer),
    sa.Column("num_labelled", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("labelled_until", sa.String(32)),
    sa.Index("retrainings_by_time", "begun_at", "id"),
    sa.Index("retrainings_by_watch", "watch"),
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("holder", sa.String(36), nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("beats", sa.BigInteger, nullable=False),
)

drift_episodes = sa.Table(
    "drift_episodes",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("version", sa.String(12), nullable=False),
    sa.Column("began_at", sa.String(32), nullable=False),
    sa.Column("seen_at", sa.String(32), nullable=False),
    sa.Column("ended_at", sa.String(32)),
    sa.Column("host", sa.String(200), nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Index("drift_episodes_by_version", "version", "number"),
)

marks = sa.Table(
    "marks",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("at", sa.String(32), nullable=False),
)
