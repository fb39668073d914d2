"""`binsight serve --on ray`: the application put on a cluster for as long as the command runs."""

import logging
import os
import re
import signal
import socket
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from binsight.engines.ray.cluster import cluster
from binsight.engines.ray.serving import NAME, Options, application
from binsight.errors import EngineFailed, StorageFailure

log = logging.getLogger(__name__)

_TRIES = 2
"""Replicas that may fail to start before the command gives up, some ten seconds each: what ails a bundle ails all of them.
In a cluster of its own, without the command, Ray tries more often: there the ledger may come up later than the replica."""


def serve_on_ray(
    options: Options, *, address: str | None, host: str, port: int, tls: tuple[Path, Path] | None = None
) -> None:
    """Answer at `host`:`port` of every machine with a replica until SIGTERM or Ctrl-C; then let requests be finished.

    The cluster is the one at `address`, else a new one on this machine. Raises `EngineFailed` where there is none, where it
    listens elsewhere already, or where no replica gets ready, and `StorageFailure` where the address cannot be had.
    """
    if address is None:
        _check_free(host, port)
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")  # of a local cluster: its files have it all
    with cluster(address) as ray:
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        ended = threading.Event()
        before = {one: signal.signal(one, _ending(ended)) for one in (signal.SIGTERM, signal.SIGINT)}
        try:
            _listen(ray, serve, host, port, tls)
            _deploy(serve, options)
            log.info("%d to %d replicas answer at %s:%d", options.min_replicas, options.max_replicas, host, port)
            ended.wait()
            serve.delete(NAME)
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def _check_free(host: str, port: int) -> None:
    """Ray's proxy would share the port with another one, which then has half of the requests."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise _not_ours(host, port, error) from None


def _not_ours(host: str, port: int, error: Exception) -> StorageFailure:
    return StorageFailure(
        f"{host}:{port} cannot be listened at ({_last_line(error)}); choose another --port or --host"
    )


def _ending(ended: threading.Event) -> Any:
    def end(number: int, _: FrameType | None) -> None:
        log.info("ending on %s", signal.Signals(number).name)
        ended.set()

    return end


def _listen(ray: Any, serve: Any, host: str, port: int, tls: tuple[Path, Path] | None) -> None:
    """Start the proxies; those of a cluster that has some stay where they are."""
    options: dict[str, Any] = {"host": host, "port": port, "keep_alive_timeout_s": 75}
    if tls is not None:
        options |= {"ssl_certfile": str(tls[0].absolute()), "ssl_keyfile": str(tls[1].absolute())}
    try:
        serve.start(http_options=options)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise _not_ours(host, port, error) from None


def _deploy(serve: Any, options: Options) -> None:
    try:
        serve.run(application(options, max_constructor_retry_count=_TRIES), name=NAME, route_prefix="/")
    except RuntimeError as error:
        found = serve.status().applications[NAME]
        said = [str(one.message) for one in found.deployments.values()] or [str(error)]
        raise EngineFailed(f"no replica gets ready ({_last_line(said[0])}); mend that and run it again") from None


def _last_line(error: object) -> str:
    """Of a traceback: what was raised, without the name of its class."""
    return re.sub(r"^[\w.]+: ", "", (str(error).strip() or type(error).__name__).splitlines()[-1])
