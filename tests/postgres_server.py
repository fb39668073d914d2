"""A real PostgreSQL server on loopback for tests, from Debian's package, installed where it is missing."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.debian import installed
from tests.s3_server import free_ports


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server, give its URL for SQLAlchemy, and stop it in the end, with its data."""
    binaries = _binaries()
    # Not in pytest's own folders, which every run of pytest closes to all users but its own.
    with tempfile.TemporaryDirectory(prefix="postgres-") as made, _started(binaries, Path(made)) as url:
        yield url


@contextmanager
def _started(binaries: Path, folder: Path) -> Iterator[str]:
    if os.geteuid() == 0:  # it refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
    data, (port,) = folder / "data", free_ports(1)
    _run(binaries / "initdb", "-D", data, "-U", "binsight", "--auth=trust", "--no-sync", "-E", "UTF8")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    _run(binaries / "pg_ctl", "-D", data, "-l", folder / "server.log", "-o", options, "-w", "start")
    try:
        yield f"postgresql+psycopg://binsight@127.0.0.1:{port}/postgres"
    finally:
        _run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found and installed("postgresql"):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not here and cannot be installed without root and apt-get")
    return found[-1].parent


def _run(*command: str | Path) -> None:
    arguments = [str(part) for part in command]
    if os.geteuid() == 0:
        arguments = ["runuser", "-u", "postgres", "--", *arguments]
    # Not captured by pipes: the server would keep them open and the call would never end.
    done = subprocess.run(arguments, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/")
    assert done.returncode == 0, f"{' '.join(arguments)} ended with {done.returncode}"
