"""A Ray cluster for the time of a run."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from binsight.counting.cores import available_cores
from binsight.errors import EngineFailed
from binsight.settings import settings

RETRIES = 20
"""How often a task may lose its worker. Not for ever: a photo or a lack of memory may kill each."""
_STORE_BYTES = 128 * 1024 * 1024
"""Shared memory of a local cluster. A bundle is all that goes through it, where Ray would take a third of the machine's."""
_CONNECT_S = 10

_CARRIED = ("ENDPOINT_URL", "REGION", "PROVIDER", "MAX_PHOTO_BYTES", "MAX_PHOTO_PIXELS")
"""Settings that results depend on. Credentials are not carried: Ray keeps what it is given where others may read it."""


def carried_settings() -> dict[str, str]:
    """The settings of this process that workers on other machines are to have."""
    names = [f"BINSIGHT_{name}" for name in _CARRIED]
    return {name: os.environ[name] for name in names if name in os.environ}


def take_over(carried: Mapping[str, str]) -> None:
    """Have the settings that were carried here, in a worker."""
    if any(os.environ.get(name) != value for name, value in carried.items()):
        os.environ.update(carried)
        settings.cache_clear()


@contextmanager
def cluster(address: str | None, *, workers: int | None = None) -> Iterator[Any]:
    """The module `ray`, connected to the cluster at `address`, else to a new one here with a worker for each core.

    Raises `EngineFailed` where it cannot be reached or started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would otherwise tell its makers of each cluster
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # its new default, which it warns about
    import ray

    if ray.is_initialized():  # by the program that this is a part of, which also ends it
        yield ray
        return
    options: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    if address is None:
        options |= {"address": "local", "num_cpus": workers or available_cores(), "include_dashboard": False}
        options |= {"object_store_memory": _STORE_BYTES}
    else:
        options |= {"address": address}
    try:
        _knock(address)
        ray.init(**options)
    except (OSError, RuntimeError, ValueError) as error:
        where = address or "a local one"
        raise EngineFailed(
            f"no Ray cluster at {where} ({_first_line(error)}); check --ray-address and that it runs"
        ) from None
    try:
        with redirect_stdout(sys.stderr):  # Ray tells there of workers that died, in the middle of our results
            yield ray
    finally:
        ray.shutdown()


def task(ray: Any, work: Callable[..., Any]) -> Any:
    """`work` as tasks of one core, `.remote(…)`, which begin anew where they lose their worker."""
    # Spread: Ray otherwise fills one machine before it asks the next.
    return ray.remote(num_cpus=1, max_retries=RETRIES, scheduling_strategy="SPREAD")(work)


def result(ray: Any, one: Any, *, named: str, look_for: str) -> Any:
    """What a task returned; raises what it raised, and `EngineFailed` where it lost its worker again and again.

    That says what was lost, `named`, and what to `look_for` if it is lost again.
    """
    try:
        return ray.get(one)
    except ray.exceptions.RayTaskError as error:  # the task itself raised
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise EngineFailed(
            f"{named} lost its worker {RETRIES + 1} times ({type(error).__name__}); run the same command again, and if "
            f"it happens again look for {look_for}"
        ) from None


def num_cores(ray: Any) -> int:
    """Cores of the cluster as it is now."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _knock(address: str | None) -> None:
    """Raise `OSError` where nobody listens at HOST:PORT: Ray itself goes on asking for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
