"""A ledger in PostgreSQL as years would leave it, made by the database itself: many rows of every table that grows.

Rows are as wide as real ones, their values drawn by hashing a number, so that every run makes the same. Indices are made
after the rows, as a restored backup has them, and the planner's statistics are gathered.
"""

import re

import sqlalchemy as sa

from binsight.storage.ledger import Ledger
from binsight.storage.ledger.tables import metadata

RECORDS = 100_000
"""Lines of an audit."""
OF_LINES_TASKS = 10
"""One in so many lines became a task."""
OPEN = 50
"""One in so many tasks still waits for somebody."""
USERS = 200
GROWING = ("captures", "journal", "audit_lines", "tasks", "leases", "counts", "count_acts", "decisions", "skips")

_PARAMETER = re.compile(r"(?<!:):(lines|records|audits|every|open|users|step)\b")
_AUDIT = "md5('audit' || {n})::uuid::text"
_TASK = "md5('task' || {n})::uuid::text"
_TOKEN = "md5('lease' || {n})::uuid::text"
_USER = "substr(md5('user' || ({n}) % :users), 1, 12)"
_AT = "to_char(timestamp '2024-01-01' + ({n}) * interval '1 second' * :step, 'YYYY-MM-DD\"T\"HH24:MI:SS.US') || '+00:00'"
_PROBS = "'{\"probs\":[' || repeat('0.047619,', 20) || '0.04762]}'"


def _audit(n: str) -> str:
    return _AUDIT.format(n=n)


_STATEMENTS = {
    "users": f"""
        INSERT INTO users SELECT {_USER.format(n="n")}, 'person' || n, 'counter', 'none', '2024-01-01', 'bench', NULL
        FROM generate_series(0, :users - 1) n""",
    "audits": f"""
        INSERT INTO audits SELECT {_audit("n")}, {_AT.format(n="n * :records")}, 'bench', 'bench:0',
            repeat('c', 64), '{{"folder": "."}}' FROM generate_series(1, :audits) n""",
    "audit_lines": f"""
        INSERT INTO audit_lines (audit, place, bin_id, expected, record, photo, photo_sha256, estimate, count, verdict,
            reason, exception, p_record, p_right, units_off, site, aisle, value_off)
        SELECT {_audit("1 + n / :records")}, 1 + n % :records, 'P-' || (n % :records) / 200 || '-A' || n % :records,
            n % 12, '{{"row":' || n || ',"site":"DC1","skus":["B00005N5PF","B0002DUSZU"],"unit_value":12.5}}',
            'photos/' || n || '.jpg', encode(sha256(n::text::bytea), 'hex'), {_PROBS}, n % 9,
            (ARRAY['suspect', 'not_assessable', 'not_assessable', 'not_assessable', 'verified'])[1 + h % 5],
            'the photo shows 2 to 5 items', CASE WHEN h % 1000 = 0 THEN 'wrong_bin' END, h / 4294967296.0,
            1 - (h % 10007) / 10007.0, (h % 10007) / 10007.0, 'DC' || 1 + (n % :records) / 50000,
            'P-' || (n % :records) / 200, (h % 10007) / 1000.0
        FROM (SELECT n, abs(hashint8(n))::bigint AS h FROM generate_series(0::bigint, :lines - 1) n) numbered""",
    "audit_aisles": f"""
        INSERT INTO audit_aisles SELECT {_audit("a")}, 'DC' || 1 + n / 250, 'P-' || n, 200, 40, 40, 9.0
        FROM generate_series(1, :audits) a, generate_series(0, :records / 200 - 1) n""",
    "tasks": f"""
        INSERT INTO tasks SELECT {_TASK.format(n="n")}, {_audit("1 + n * :every / :records")}, 1 + n * :every % :records,
            n % (:records / :every), 'planned', 'DC' || 1 + (n * :every % :records) / 50000,
            'P-' || (n * :every % :records) / 200,
            'P-' || (n * :every % :records) / 200 || '-A' || n * :every % :records, {_AT.format(n="n * :every")}, 'bench',
            CASE WHEN n % :open = 0 THEN 'count' WHEN n % :open = 1 THEN 'approve' WHEN n % 7 = 0 THEN 'confirmed'
                 ELSE 'matched' END,
            true, NULL, NULL, CASE WHEN n % :open > 1 THEN n % 12 END,
            CASE WHEN n % :open = 0 AND n % 7 = 0 THEN {_TOKEN.format(n="n")} END,
            CASE WHEN n % :open = 0 AND n % 7 = 0 THEN {_AT.format(n="n")} END
        FROM generate_series(0::bigint, :lines / :every - 1) n""",
    "leases": f"""
        INSERT INTO leases SELECT {_TOKEN.format(n="n")}, {_TASK.format(n="n")}, {_USER.format(n="n")}, 'photo',
            {_AT.format(n="n * :every")} FROM generate_series(0::bigint, :lines / :every - 1) n""",
    "counts": f"""
        INSERT INTO counts SELECT {_TOKEN.format(n="n")}, {_TASK.format(n="n")}, 1, 'count', {_USER.format(n="n")},
            'photo', n % 12, {_AT.format(n="n * :every")}, 12.0, '', '[]'
        FROM generate_series(0::bigint, :lines / :every - 1) n WHERE n % :open > 0""",
    "count_acts": f"""
        INSERT INTO count_acts SELECT {_TOKEN.format(n="n")}, 'seen', {_AT.format(n="n * :every")}
        FROM generate_series(0::bigint, :lines / :every - 1) n WHERE n % :open > 0 AND n % 3 = 0""",
    "decisions": f"""
        INSERT INTO decisions SELECT md5('decision' || n)::uuid::text, {_TASK.format(n="n")}, {_USER.format(n="n + 1")},
            {_AT.format(n="n * :every")}, 'approved', n % 12, 'MISCOUNT', ''
        FROM generate_series(0::bigint, :lines / :every - 1) n WHERE n % 7 = 0""",
    "journal": f"""
        INSERT INTO journal SELECT n, {_AT.format(n="n")}, 'person' || n % :users,
            CASE WHEN n % 1000 = 0 THEN 'audit.lines' WHEN n % 100000 = 1 THEN 'audit.ended'
                 WHEN n % 50000 = 2 THEN 'consignment.judged' WHEN n % 100000 = 3 THEN 'certificate.audited'
                 ELSE 'count.made' END,
            CASE WHEN n % 100000 = 1 THEN {_audit("1 + n / 100000")} WHEN n % 1000 = 0 THEN {_audit("1 + n / 100000")}
                 WHEN n % 50000 = 2 THEN 'C' || n % 1000 WHEN n % 100000 = 3 THEN repeat('c', 64)
                 ELSE {_TASK.format(n="n % (:lines / :every)")} END,
            CASE WHEN n % 100000 = 1 THEN '{{"num_records":100000,"num_verified":20000,"num_suspect":20000,'
                    || '"num_not_assessable":60000,"num_stale":0,"exceptions":{{}},"units_off":1.0,"units_expected":5}}'
                 WHEN n % 100000 = 3 THEN '{{"audit":"' || {_audit("1 + n / 100000")} || '"}}'
                 WHEN n % 50000 = 2 THEN '{{"decision":"HOLD"}}'
                 ELSE '{{"quantity":3,"sha256":"' || repeat('d', 64) || '","state":"matched","token":"'
                    || {_TOKEN.format(n="n")} || '"}}' END,
            encode(sha256(n::text::bytea), 'hex')
        FROM generate_series(1::bigint, :lines) n""",
    "captures": f"""
        INSERT INTO captures SELECT md5('event' || n)::uuid::text, md5('inference' || n), 'binsight', 'AllTraffic',
            {_AT.format(n="n")}, encode(sha256(n::text::bytea), 'hex'), 'image/jpeg', 60000,
            '{{"count":3,"interval":[2,4],' || substr({_PROBS}, 2), 'bench:0', CASE WHEN n % 3 = 0 THEN n % 12 END
        FROM generate_series(1::bigint, :lines) n""",
}


def fill(ledger: Ledger, rows: int) -> None:
    """So many captures, entries of the journal and lines of audits, and the tasks and counts that go with them."""
    assert rows % RECORDS == 0, f"rows must be a multiple of {RECORDS:,}"
    numbers = {
        "lines": rows,
        "records": RECORDS,
        "audits": rows // RECORDS,
        "every": OF_LINES_TASKS,
        "open": OPEN,
        "users": USERS,
        "step": 63_000_000 / rows,
    }
    indices = [index for name in GROWING for index in metadata.tables[name].indexes]
    with ledger.writing() as connection:
        connection.execute(sa.text("SET session_replication_role = replica"))  # no key is looked up a row at a time
        connection.execute(sa.text("SET maintenance_work_mem = '1GB'"))
        for index in indices:
            index.drop(connection)
        for statement in _STATEMENTS.values():
            # Put in by hand: SQLAlchemy would take the colons of JSON for parameters.
            text = _PARAMETER.sub(lambda found: str(numbers[found[1]]), statement)
            connection.exec_driver_sql(text.replace("%", "%%"))
        for index in indices:
            index.create(connection)
        connection.execute(sa.text("SET session_replication_role = DEFAULT"))
    with ledger.writing() as connection:
        connection.execute(sa.text("ANALYZE"))
