"""A real PostgreSQL server on loopback for tests, from Debian's package, installed where it is missing."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.debian import installed
from tests.s3_server import free_ports


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that can be stopped, as if it crashed, and started again on its data."""

    binaries: Path
    folder: Path
    port: int
    durable: bool

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://binsight@127.0.0.1:{self.port}/postgres"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def make(self) -> None:
        _run(
            self.binaries / "initdb", "-D", self._data, "-U", "binsight", "--auth=trust", "--no-sync", "-E", "UTF8"
        )

    def start(self) -> None:
        place = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        options = f"-p {self.port} {place} -c fsync={'on' if self.durable else 'off'}"
        _run(
            self.binaries / "pg_ctl",
            "-D",
            self._data,
            "-l",
            self.folder / "server.log",
            "-o",
            options,
            "-w",
            "start",
        )

    def stop(self) -> None:
        _run(self.binaries / "pg_ctl", "-D", self._data, "-m", "immediate", "stop")


@contextmanager
def postgres_that_stops(*, durable: bool = False) -> Iterator[Postgres]:
    """Start a server, and stop it in the end, with its data; what it says is kept is on the disk only if `durable`."""
    binaries = _binaries()
    # Not in pytest's own folders, which every run of pytest closes to all users but its own.
    with tempfile.TemporaryDirectory(prefix="postgres-") as made:
        if os.geteuid() == 0:  # it refuses to run as root
            shutil.chown(made, "postgres", "postgres")
        (port,) = free_ports(1)
        server = Postgres(binaries, Path(made), port, durable)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[str]:
    """The URL of a server that runs all the time."""
    with postgres_that_stops(durable=durable) as server:
        yield server.url


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
