"""Keys to the service."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("scopes", sa.String(200), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("old_secret_hash", sa.String(64)),
        sa.Column("old_secret_until", sa.String(32)),
        sa.Column("photos_per_second", sa.Float),
        sa.Column("burst_photos", sa.Integer),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("expires_at", sa.String(32)),
        sa.Column("rotated_at", sa.String(32)),
        sa.Column("rotated_by", sa.String(200)),
        sa.Column("revoked_at", sa.String(32)),
        sa.Column("revoked_by", sa.String(200)),
        sa.Column("last_used_at", sa.String(32)),
    )
