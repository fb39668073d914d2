"""The database that keeps a study, wherever its URL says; and signs of life of those who work on it."""

import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from binsight.errors import BadInput, MissingExtra, StorageFailure

HEARTBEAT_S, GRACE_S = 5, 30
"""A worker gives a sign of life every five seconds; one that was silent for thirty is taken for dead."""


@contextmanager
def experiments() -> Iterator[None]:
    """Signs of life and further tries are marked as experimental in Optuna, which is no news for users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def sqlite_file(url: str) -> Path | None:
    """The file that a database's URL names, where it names one."""
    try:
        place = make_url(url)
    except ArgumentError:  # which opening it says better
        return None
    is_file = place.get_backend_name() == "sqlite" and place.database and not place.database.startswith("file:")
    return Path(str(place.database)) if is_file else None


def open_storage(url: str) -> RDBStorage:
    """The database with its tables, made if they are not there; heartbeats of trials under way included.

    Raises `BadInput` for a URL that is none, `StorageFailure` for a database that cannot be reached, `MissingExtra` where
    its driver is not installed.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # progress is told in sentences of ours
    try:
        return _connected(url)
    except ImportError:
        raise MissingExtra(f"a study at {url.partition(':')[0]}", extra="postgres") from None
    except ArgumentError as error:
        raise BadInput(
            "--study must be a database's URL such as sqlite:///study.db or postgresql+psycopg://host/name, but "
            f"{str(error)[:1].lower()}{str(error)[1:]}"
        ) from None
    except SQLAlchemyError as error:
        shown, reason = url.rpartition("@")[2], str(error).splitlines()[0]  # no password on the screen
        raise StorageFailure(
            f"the study at {shown} cannot be reached ({reason}); check the address, or start the database"
        ) from None


def _connected(url: str, tries: int = 5) -> RDBStorage:
    try:
        with experiments():
            return RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {},
                heartbeat_interval=HEARTBEAT_S,
                grace_period=GRACE_S,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=3),
            )
    except (IntegrityError, ProgrammingError, OperationalError) as error:
        # Another worker is making the tables at this very moment.
        if tries == 1 or not re.search("already exists|unique", str(error), re.IGNORECASE):
            raise
        time.sleep(0.5)
        return _connected(url, tries - 1)
