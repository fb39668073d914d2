"""Audits, their lines, and the journal that chains all that was done."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "journal",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("journal_by_subject", "journal", ["kind", "subject", "seq"])
    op.create_table(
        "audits",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("begun_at", sa.String(32), nullable=False),
        sa.Column("begun_by", sa.String(200), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("certificate_sha256", sa.String(64)),
        sa.Column("terms", sa.Text, nullable=False),
    )
    op.create_table(
        "audit_lines",
        sa.Column("audit", sa.String(36), sa.ForeignKey("audits.id"), primary_key=True),
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("bin_id", sa.String(200), nullable=False),
        sa.Column("expected", sa.BigInteger, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("photo", sa.Text),
        sa.Column("photo_sha256", sa.String(64)),
        sa.Column("estimate", sa.Text),
        sa.Column("count", sa.Integer),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("exception", sa.String(40)),
        sa.Column("p_record", sa.Float),
        sa.Column("p_right", sa.Float, nullable=False),
        sa.Column("units_off", sa.Float, nullable=False),
    )
    op.create_index("audit_lines_by_error", "audit_lines", ["audit", "verdict", "units_off"])
    op.create_index("audit_lines_by_bin", "audit_lines", ["bin_id", "audit"])
