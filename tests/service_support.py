"""The counting service for tests: in this process, slowed down, or as the real process it is run as."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from binsight.counting import Counter
from binsight.counting.counter import Seen
from binsight.service.served import Served
from binsight.settings import Settings

START_S = 120


class GatedCounter(Counter):
    """The default counter, whose photos wait at a gate before they are decoded; `begun` says how many came there."""

    gate: Event
    begun: int

    def see(self, name: str, data: bytes, *, read_labels: bool = False) -> Seen:
        if name != "warm-up":
            self.begun += 1
            assert self.gate.wait(60)
        return super().see(name, data, read_labels=read_labels)


def gated(folder: Path) -> tuple[Served, GatedCounter]:
    """A bundle whose photos are held until its `gate` is set."""
    counter = GatedCounter.load(folder, threads=1)
    assert isinstance(counter, GatedCounter)
    counter.gate, counter.begun = Event(), 0
    return Served(counter=counter, certificate=None), counter


def some_settings(**values: Any) -> Settings:
    return Settings(**values)


def until_ready(client: "TestClient | httpx.Client") -> None:
    """Wait for /ping to say so."""
    end = time.monotonic() + START_S
    while client.get("/ping").status_code != 200:
        assert time.monotonic() < end, "the service does not get ready"
        time.sleep(0.05)


def until(is_so: Callable[[], Any]) -> None:
    """Wait for something that happens on a thread of the service."""
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def client_of(app: FastAPI) -> Iterator[TestClient]:
    """A client of an app in this process, once it is ready."""
    with TestClient(app, raise_server_exceptions=False) as client:
        until_ready(client)
        yield client


@dataclass
class Process:
    """A running `binsight serve`."""

    process: "subprocess.Popen[str]"
    url: str

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def serving(*options: str, env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """The real process, ready; killed at the end where it has not ended."""
    port = free_port()
    command = [sys.executable, "-m", "binsight", "serve", "--port", str(port), *options]
    with subprocess.Popen(command, env={**os.environ, **(env or {})}, stderr=subprocess.PIPE, text=True) as process:
        served = Process(process, f"http://127.0.0.1:{port}")
        try:
            end = time.monotonic() + START_S
            with served.client as client:
                while True:
                    assert process.poll() is None, process.stderr and process.stderr.read()
                    assert time.monotonic() < end, "the service does not get ready"
                    try:
                        if client.get("/ping").status_code == 200:
                            break
                    except httpx.TransportError:
                        pass
                    time.sleep(0.1)
            yield served
        finally:
            process.kill()
