"""The process: uvicorn in front of the app, ending as those who run it expect."""

import logging
import math
import signal
import ssl
import time
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from binsight.errors import BadInput, GateFailed, StorageFailure
from binsight.service.connections import Connection

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn, with the service told at once that it is to end, so that `/ping` turns away what is new."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._counting = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more photos, finish those that were taken, then end well; a second Ctrl-C ends at once.

        uvicorn's own would raise the signal again at the end: a service that did as it was told would seem killed.
        """
        log.info("ending on %s", signal.Signals(sig).name)
        state = self._counting.state
        if state.ends_at is None:
            state.ends_at = time.monotonic() + state.settings.drain_within_s
        if state.lanes:
            state.lanes.refuse()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def serve(app: FastAPI, *, host: str, port: int, tls: tuple[Path, Path] | None = None) -> None:
    """Answer at `host`:`port` until SIGTERM or Ctrl-C; requests under way are finished first.

    `tls` is the certificate's file and its key's, for https. Raises `BadInput` where they cannot be used,
    `StorageFailure` where the address cannot be had, `GateFailed` where the bundle cannot be taken into service.
    """
    chosen = app.state.settings
    proxies = chosen.trusted_proxies
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,  # the metrics and the callers' ids say more
        server_header=False,
        http=partial(Connection, most=chosen.max_connections, within=chosen.connection_within_s),  # type: ignore[arg-type]
        ws="none",  # there is no endpoint for it
        timeout_graceful_shutdown=math.ceil(
            chosen.drain_within_s
        ),  # whole seconds, of which none would mean no end
        timeout_keep_alive=75,  # longer than the 60 s of the load balancers in front
        lifespan="on",
        ssl_certfile=tls and tls[0],
        ssl_keyfile=tls and str(tls[1]),
        ssl_keyfile_password="" if tls else None,  # or OpenSSL would ask for it on the terminal, and wait
        proxy_headers=bool(proxies),  # uvicorn's own default believes whatever runs on this machine
        forwarded_allow_ips=list(proxies),
    )
    if tls is not None:
        check_tls(tls)
    config.load()
    try:
        socket = config.bind_socket()
    except SystemExit:  # uvicorn has logged why
        raise StorageFailure(f"{host}:{port} cannot be listened at; choose another --port or --host") from None
    server = Server(config, app)
    app.state.on_failure = lambda: setattr(server, "should_exit", True)
    with socket:
        server.run(sockets=[socket])
    if app.state.failure:
        raise GateFailed(app.state.failure)


def check_tls(tls: tuple[Path, Path]) -> None:
    """Raise `BadInput` where the certificate and its key cannot be used together, or need a password."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*tls, password="")
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or getattr(error, "reason", None) or error
        raise BadInput(
            f"{tls[0]} and {tls[1]} cannot be used for TLS ({reason}); give a certificate and its key in PEM, without a "
            "password"
        ) from None
