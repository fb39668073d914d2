"""`binsight serve`."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli.options import json_option, require_extra
from binsight.errors import BadInput, MissingExtra

if TYPE_CHECKING:
    from fastapi import FastAPI


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port to listen at.")
@click.option("--model", type=click.Path(path_type=Path), help="Bundle to count with.  [default: the shipped one]")
@click.option(
    "--follow",
    metavar="ALIAS",
    help="Count with the bundle that the registry calls so, `champion` for one, and change over when that changes.",
)
@click.option(
    "--keys/--no-keys",
    default=None,
    help="Ask every caller for a key, or let whoever reaches the service use it.  [default: for this machine alone no "
    "keys but for /v1/tasks, else keys]",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate (PEM) to answer over https with.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The certificate's key (PEM).")
@click.option(
    "--canary-share",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Share of the requests that the bundle called `canary` answers.  [default: BINSIGHT_CANARY_SHARE, else 0]",
)
@click.option(
    "--shadow-share",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Share of the requests that the bundle called `shadow` counts too, unheard.  [default: BINSIGHT_SHADOW_SHARE, "
    "else 0]",
)
@click.option(
    "--lanes",
    type=click.IntRange(1, 256),
    help="Photos in work at once.  [default: one a core, and one more with BINSIGHT_QUEUE_WAIT_S]",
)
@click.option(
    "--only",
    type=click.Choice(["counting"]),
    help="Leave the console out.",
)
@click.option(
    "--on",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="In this process, or as replicas on a Ray cluster, without the console.",
)
@click.option(
    "--ray-address",
    envvar="RAY_ADDRESS",
    help="With --on ray: the cluster, such as auto.  [default: RAY_ADDRESS, else a new local one]",
)
@click.option("--min-replicas", type=click.IntRange(1), help="With --on ray: so many at least.  [default: 1]")
@click.option(
    "--max-replicas",
    type=click.IntRange(1),
    help="With --on ray: so many at most.  [default: as many as the cores of this machine carry]",
)
@click.option(
    "--target-requests",
    type=click.FloatRange(0, min_open=True),
    help="With --on ray: requests in a replica, those that wait included, beyond which there are to be more replicas.  "
    "[default: two a lane]",
)
@json_option
def serve(
    host: str,
    port: int,
    model: Path | None,
    follow: str | None,
    keys: bool | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    canary_share: float | None,
    shadow_share: float | None,
    lanes: int | None,
    only: str | None,
    on: str,
    ray_address: str | None,
    min_replicas: int | None,
    max_replicas: int | None,
    target_requests: float | None,
    as_json: bool,
) -> None:
    """Answer counts over HTTP, and the console: SageMaker's contract, /v1, /v2, and pages for people.

    The result is a service at HOST:PORT. POST a photo to /v1/count, or a photo and its record to /v1/verify; /docs
    describes every endpoint. /ping answers 200 once the model is loaded and warm. Where the queue is full, the answer is
    503 and says when to try again. SIGTERM and Ctrl-C let requests under way be finished.

    /console is where people count blind, decide and see what became of audits; unless --only counting. Where there is no
    admin yet, the log says how the first one is made.

    At an address that others can reach, callers need a key (binsight keys add) unless --no-keys says that something in
    front of the service decides who may ask. /v1/tasks, where programs read records and send counts, needs one at any
    address; and behind a proxy on this machine all should (--keys), since everybody it lets in comes from this machine.

    A line for each request is logged on standard error, with --json as a JSON line.

    --on ray runs the same service in as many processes as there are requests for, --lanes photos at once in each (1 by
    default), which take the port in turns; their lines are in Ray's own log.
    """
    require_extra("serve", "the counting service")
    if on == "local" and (min_replicas or max_replicas or target_requests):
        raise BadInput(
            "--min-replicas, --max-replicas and --target-requests need --on ray; add it or leave them out"
        )
    if model and follow:
        raise BadInput("--model and --follow exclude each other; give one of them")
    if (tls_cert is None) != (tls_key is None):
        raise BadInput("a certificate and its key belong together; give both --tls-cert and --tls-key")
    tls = (tls_cert, tls_key) if tls_cert and tls_key else None
    shares = {"canary_share": canary_share, "shadow_share": shadow_share}
    if on == "ray":
        from binsight.cli.serve_on_ray import serve_replicas

        scaling = {"min_replicas": min_replicas, "max_replicas": max_replicas, "target_requests": target_requests}
        fields = {"model": model, "follow": follow, "lanes": lanes, **shares, **scaling}
        given = {name: value for name, value in fields.items() if value is not None}
        serve_replicas(given, address=ray_address, host=host, port=port, keys=keys, tls=tls, as_json=as_json)
        return
    from binsight.counting import default_bundle
    from binsight.service.served import Served

    loading = None if follow else Served.begin_loading(model or default_bundle())  # while the imports below go on
    from binsight.service.access import must_ask_for_keys, said_access
    from binsight.service.app import make_app
    from binsight.service.logs import log_to_stderr
    from binsight.service.server import serve as serve_app
    from binsight.settings import settings

    demanded = must_ask_for_keys(host, keys)
    log_to_stderr(as_json=as_json)
    said = {"access": said_access(keys), **{name: share for name, share in shares.items() if share is not None}}
    chosen = settings().model_copy(update=said)
    app = make_app(model, follow=follow, num_lanes=lanes, keys=demanded, chosen=chosen, loading=loading)
    if only is None:
        _add_console(app, address=f"{'https' if tls_cert else 'http'}://{host}:{port}")
    serve_app(app, host=host, port=port, tls=tls)


def _add_console(app: "FastAPI", *, address: str) -> None:
    try:
        require_extra("console", "the console")
    except MissingExtra as error:  # the service alone counts as well
        logging.getLogger(__name__).warning("there is no console: %s", error)
        return
    from binsight.console import add_console

    add_console(app, address=address)
