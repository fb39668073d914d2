"""`binsight serve`."""

from pathlib import Path

import click

from binsight.cli.options import json_option, require_extra
from binsight.errors import BadInput


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
@click.option("--lanes", type=click.IntRange(1, 256), help="Photos in work at once.  [default: one a core]")
@click.option(
    "--only",
    type=click.Choice(["counting"]),
    expose_value=False,
    help="Leave the rest out. There is nothing but counting yet, so that this changes nothing.",
)
@json_option
def serve(
    host: str,
    port: int,
    model: Path | None,
    follow: str | None,
    canary_share: float | None,
    shadow_share: float | None,
    lanes: int | None,
    as_json: bool,
) -> None:
    """Answer counts over HTTP: SageMaker's contract, /v1 for integrators, /v2.

    The result is a service at HOST:PORT. POST a photo to /v1/count, or a photo and its record to /v1/verify; /docs
    describes every endpoint. /ping answers 200 once the model is loaded and warm. Where the queue is full, the answer is
    503 and says when to try again. SIGTERM and Ctrl-C let requests under way be finished.

    A line for each request is logged on standard error, with --json as a JSON line.
    """
    require_extra("serve", "the counting service")
    if model and follow:
        raise BadInput("--model and --follow exclude each other; give one of them")
    from binsight.service.app import make_app
    from binsight.service.logs import log_to_stderr
    from binsight.service.server import serve as serve_app
    from binsight.settings import settings

    log_to_stderr(as_json=as_json)
    shares = {"canary_share": canary_share, "shadow_share": shadow_share}
    given = {name: share for name, share in shares.items() if share is not None}
    chosen = settings().model_copy(update=given)
    serve_app(make_app(model, follow=follow, num_lanes=lanes, chosen=chosen), host=host, port=port)
