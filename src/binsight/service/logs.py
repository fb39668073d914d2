"""What the service logs: a line on standard error for each request and event, as text or as JSON."""

import json
import logging
import sys
import time

REQUEST_FIELDS = (
    "request_id",
    "method",
    "endpoint",
    "status",
    "seconds",
    "client",
    "key",
    "model",
    "role",
    "trace_id",
)
"""What a line about a request carries beside its message; the last five where there is such a thing."""


def log_to_stderr(*, as_json: bool) -> None:
    """Log from INFO on, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every part of itself


class JsonLines(logging.Formatter):
    """Each record as one JSON object: time (UTC), level, message, a request's fields, and its trace where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        line = {"time": stamp, "level": record.levelname, "message": record.getMessage()}
        line |= {name: getattr(record, name) for name in REQUEST_FIELDS if getattr(record, name, None) is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
