"""Options that commands share, and how results are printed."""

import getpass
import json
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from binsight.errors import MissingExtra

if TYPE_CHECKING:
    from binsight.records import CountEstimate, CountFailure

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON lines for scripts instead of text."
)


MODULES = {
    "aws": ("boto3", "urllib3"),
    "client": ("httpx",),
    "ledger": ("sqlalchemy", "alembic"),
    "serve": ("fastapi", "uvicorn", "httpcore", "prometheus_client", "python_multipart"),
    "audit": ("sqlalchemy", "alembic", "openpyxl", "matplotlib", "scipy"),
    "console": ("argon2", "openpyxl", "matplotlib", "scipy"),
    "batch": ("pyarrow",),
    "ray": ("pyarrow", "ray"),
    "ray-serve": ("pyarrow", "ray", "aiohttp_cors", "grpc_reflection", "opencensus"),
    "data": ("imagehash", "matplotlib", "pyarrow", "scipy"),
    "train": ("torch", "timm", "lightning_fabric", "onnxscript", "safetensors", "tomli_w", "pyarrow", "matplotlib"),
}
MODULES["tune"] = (*MODULES["train"], "optuna")
"""What each extra must bring for the commands that need it."""


def engine_options(what: str) -> Callable[[Any], Any]:
    """`--on local | ray`, whose help says `what`, and `--ray-address`, as parameters `on` and `ray_address`."""
    on = click.option("--on", type=click.Choice(["local", "ray"]), default="local", show_default=True, help=what)
    address = click.option(
        "--ray-address",
        envvar="RAY_ADDRESS",
        help="With --on ray: the cluster, such as auto or ray://host:10001.  [default: RAY_ADDRESS, else a new local one]",
    )
    return lambda command: on(address(command))


def dataset_place(value: str) -> Path | str:
    """A dataset's folder, or `s3://bucket/prefix`, as the type of an argument."""
    return value if "://" in value else Path(value)


def require_extra(extra: str, what: str) -> None:
    """Raise `MissingExtra` before any work where the libraries of an extra are not there; imports none of them."""
    if any(find_spec(module) is None for module in MODULES[extra]):
        raise MissingExtra(what, extra=extra)


def who() -> str:
    """The user who runs the command, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def print_json(value: Any) -> None:
    """One JSON value on one line of standard output."""
    click.echo(json.dumps(value, separators=(", ", ": ")))


def print_errors(sentences: Iterable[str]) -> bool:
    """Each sentence as an error, on a line of its own; whether there were any."""
    found = list(sentences)
    for sentence in found:
        click.echo(f"error: {sentence}", err=True)
    return bool(found)


def count_line(result: "CountEstimate | CountFailure") -> dict[str, Any]:
    """The fixed shape of one counted photo: its estimate, or `error` where it could not be counted."""
    from binsight.records import CountEstimate

    if not isinstance(result, CountEstimate):
        return {"photo": result.photo, "error": result.error}
    return {
        "photo": result.photo,
        "count": result.count,
        "probs": [round(p, 6) for p in result.probs],
        "interval": list(result.interval),
        "bin_label": result.bin_label,
        "flags": list(result.flags),
    }
