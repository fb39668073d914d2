"""The tables as the newest migration leaves them; a test compares the two."""

import sqlalchemy as sa

metadata = sa.MetaData()
OPEN_TASKS = sa.text("state IN ('count', 'recount')")
"""The few tasks of all that wait for somebody who counts: an index of them stays small, whatever was counted before."""

model_versions = sa.Table(
    "model_versions",
    metadata,
    sa.Column("version", sa.String(12), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("registered_at", sa.String(32), nullable=False),
    sa.Column("registered_by", sa.String(200), nullable=False),
    sa.Column("lineage", sa.Text, nullable=False),
    sa.Column("dataset_sha256", sa.String(64)),
    sa.Column("recipe_sha256", sa.String(64)),
    sa.Column("weights_sha256", sa.String(64)),
    sa.Column("git", sa.String(64)),
    sa.Column("code", sa.String(40)),
    sa.Column("parent", sa.String(12)),
    sa.Column("removed_at", sa.String(32)),
    sa.Column("removed_by", sa.String(200)),
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

api_keys = sa.Table(
    "api_keys",
    metadata,
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

captures = sa.Table(
    "captures",
    metadata,
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
    sa.Column("share", sa.Float),
    sa.Index("captures_by_time", "endpoint", "variant", "captured_at", "event_id"),
)

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("by", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("journal_by_subject", "kind", "subject", "seq"),
)

audits = sa.Table(
    "audits",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("begun_at", sa.String(32), nullable=False),
    sa.Column("begun_by", sa.String(200), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("certificate_sha256", sa.String(64)),
    sa.Column("terms", sa.Text, nullable=False),
)

audit_lines = sa.Table(
    "audit_lines",
    metadata,
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
    sa.Column("site", sa.String(200)),
    sa.Column("aisle", sa.String(200)),
    sa.Column("value_off", sa.Float),
    sa.Index("audit_lines_by_error", "audit", "verdict", "units_off", "place"),
    sa.Index("audit_lines_by_value", "audit", "verdict", "value_off", "place"),
    sa.Index("audit_lines_by_name", "audit", "verdict", "bin_id", "place"),
    sa.Index("audit_lines_by_aisle", "audit", "site", "aisle", "verdict", "units_off", "place"),
    sa.Index("audit_lines_by_exception", "audit", "exception", "units_off", "place"),
    sa.Index("audit_lines_by_bin", "bin_id", "audit"),
)

audit_aisles = sa.Table(
    "audit_aisles",
    metadata,
    sa.Column("audit", sa.String(36), sa.ForeignKey("audits.id"), primary_key=True),
    sa.Column("site", sa.String(200), primary_key=True),
    sa.Column("aisle", sa.String(200), primary_key=True),
    sa.Column("num_records", sa.BigInteger, nullable=False),
    sa.Column("num_verified", sa.BigInteger, nullable=False),
    sa.Column("num_suspect", sa.BigInteger, nullable=False),
    sa.Column("units_off", sa.Float, nullable=False),
)


users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.String(12), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False, unique=True),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("password_hash", sa.String(200), nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("disabled_at", sa.String(32)),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("token_hash", sa.String(64), primary_key=True),
    sa.Column("user", sa.String(12), sa.ForeignKey("users.id"), nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("used_at", sa.String(32), nullable=False),
    sa.Column("expires_at", sa.String(32), nullable=False),
)

policies = sa.Table(
    "policies",
    metadata,
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("set_at", sa.String(32), nullable=False),
    sa.Column("set_by", sa.String(200), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("audit", sa.String(36), sa.ForeignKey("audits.id"), nullable=False),
    sa.Column("place", sa.BigInteger, nullable=False),
    sa.Column("rank", sa.BigInteger, nullable=False),
    sa.Column("origin", sa.String(20), nullable=False),
    sa.Column("site", sa.String(200), nullable=False),
    sa.Column("aisle", sa.String(200), nullable=False),
    sa.Column("bin_id", sa.String(200), nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("from_photo", sa.Boolean, nullable=False),
    sa.Column("settle_at", sa.String(32)),
    sa.Column("posted_at", sa.String(32)),
    sa.Column("quantity", sa.BigInteger),
    sa.Column("lease", sa.String(36)),
    sa.Column("leased_until", sa.String(32)),
    sa.ForeignKeyConstraint(["audit", "place"], ["audit_lines.audit", "audit_lines.place"]),
    sa.UniqueConstraint("audit", "place", name="one_task_a_line"),
    sa.Index("tasks_by_state", "state", "rank", "id"),
    sa.Index("tasks_by_lease", "lease"),
    sa.Index("tasks_by_settling", "settle_at"),
    sa.Index("tasks_by_lease_end", "leased_until"),
    sa.Index("tasks_open", "rank", "id", postgresql_where=OPEN_TASKS, sqlite_where=OPEN_TASKS),
    sa.Index(
        "tasks_open_by_aisle", "site", "aisle", "rank", "id", postgresql_where=OPEN_TASKS, sqlite_where=OPEN_TASKS
    ),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("token", sa.String(36), primary_key=True),
    sa.Column("task", sa.String(36), sa.ForeignKey("tasks.id"), nullable=False),
    sa.Column("user", sa.String(12), sa.ForeignKey("users.id"), nullable=False),
    sa.Column("where", sa.String(10), nullable=False),
    sa.Column("leased_at", sa.String(32), nullable=False),
    sa.Index("leases_by_task", "task"),
)

counts = sa.Table(
    "counts",
    metadata,
    sa.Column("token", sa.String(36), sa.ForeignKey("leases.token"), primary_key=True),
    sa.Column("task", sa.String(36), sa.ForeignKey("tasks.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("stage", sa.String(20), nullable=False),
    sa.Column("user", sa.String(12), sa.ForeignKey("users.id"), nullable=False),
    sa.Column("where", sa.String(10), nullable=False),
    sa.Column("counted", sa.BigInteger, nullable=False),
    sa.Column("counted_at", sa.String(32), nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("marks", sa.Text, nullable=False),
    sa.UniqueConstraint("task", "number", name="one_count_a_number"),
    sa.Index("counts_by_user", "user", "task"),
    sa.Index("counts_by_time", "user", "counted_at"),
)

count_acts = sa.Table(
    "count_acts",
    metadata,
    sa.Column("token", sa.String(36), sa.ForeignKey("counts.token"), primary_key=True),
    sa.Column("kind", sa.String(20), primary_key=True),
    sa.Column("at", sa.String(32), nullable=False),
)

skips = sa.Table(
    "skips",
    metadata,
    sa.Column("token", sa.String(36), sa.ForeignKey("leases.token"), primary_key=True),
    sa.Column("task", sa.String(36), sa.ForeignKey("tasks.id"), nullable=False),
    sa.Column("user", sa.String(12), sa.ForeignKey("users.id"), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("reason", sa.String(40), nullable=False),
    sa.Index("skips_by_task", "task", "user"),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("task", sa.String(36), sa.ForeignKey("tasks.id"), nullable=False),
    sa.Column("user", sa.String(12), sa.ForeignKey("users.id"), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("word", sa.String(20), nullable=False),
    sa.Column("quantity", sa.BigInteger),
    sa.Column("reason", sa.String(40), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Index("decisions_by_task", "task", "at"),
)
