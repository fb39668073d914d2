"""What pages look audits up by: columns that are taken out of a line's record, and an audit's aisles."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for column in (
        sa.Column("site", sa.String(200)),
        sa.Column("aisle", sa.String(200)),
        sa.Column("value_off", sa.Float),
    ):
        op.add_column("audit_lines", column)
    op.drop_index(
        "audit_lines_by_error", "audit_lines"
    )  # without the place, equal errors were sorted for every page
    op.create_index("audit_lines_by_error", "audit_lines", ["audit", "verdict", "units_off", "place"])
    op.create_index("audit_lines_by_value", "audit_lines", ["audit", "verdict", "value_off", "place"])
    op.create_index(
        "audit_lines_by_aisle", "audit_lines", ["audit", "site", "aisle", "verdict", "units_off", "place"]
    )
    op.create_index("audit_lines_by_exception", "audit_lines", ["audit", "exception", "units_off", "place"])
    op.create_index("audit_lines_by_name", "audit_lines", ["audit", "verdict", "bin_id", "place"])
    op.create_table(
        "audit_aisles",
        sa.Column("audit", sa.String(36), sa.ForeignKey("audits.id"), primary_key=True),
        sa.Column("site", sa.String(200), primary_key=True),
        sa.Column("aisle", sa.String(200), primary_key=True),
        sa.Column("num_records", sa.BigInteger, nullable=False),
        sa.Column("num_verified", sa.BigInteger, nullable=False),
        sa.Column("num_suspect", sa.BigInteger, nullable=False),
        sa.Column("units_off", sa.Float, nullable=False),
    )
