"""What the service kept of what came in and what it answered."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "captures",
        sa.Column("event_id", sa.String(36), primary_key=True),
        sa.Column("inference_id", sa.String(64)),
        sa.Column("endpoint", sa.String(63), nullable=False),
        sa.Column("variant", sa.String(63), nullable=False),
        sa.Column("captured_at", sa.String(32), nullable=False),
        sa.Column("photo_sha256", sa.String(64)),
        sa.Column("photo_type", sa.String(32)),
        sa.Column("photo_bytes", sa.BigInteger, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("expected", sa.BigInteger),
    )
    op.create_index("captures_by_time", "captures", ["endpoint", "variant", "captured_at", "event_id"])
