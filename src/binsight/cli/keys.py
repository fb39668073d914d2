"""`binsight keys add | list | rotate | revoke`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from binsight.cli import LazyGroup
from binsight.cli.options import json_option, print_json, require_extra, who
from binsight.errors import BadInput

if TYPE_CHECKING:
    from binsight.storage.api_key import ApiKey, Rate
    from binsight.storage.ledger import ApiKeys

COMMANDS = {
    "add": ("binsight.cli.keys:add", "Make a key for somebody who is to use the service."),
    "list": ("binsight.cli.keys:list_keys", "List the keys: whose, for what, until when, last used."),
    "rotate": ("binsight.cli.keys:rotate", "Give a key a new secret."),
    "revoke": ("binsight.cli.keys:revoke", "Take a key away, for good."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def keys() -> None:
    """Give, renew and take away keys to the service."""


@click.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=("count",),
    show_default=True,
    help="What it is for: count, read, tasks or admin; give it several times for several.",
)
@click.option("--days", type=click.IntRange(1, 36500), help="Days that it is valid.  [default: no end]")
@click.option("--rate", type=float, help="Photos a second that it may send.  [default: no limit]")
@click.option("--burst", type=int, help="Photos that it may send at once.  [default: ten seconds' worth]")
@json_option
def add(
    name: str, scopes: tuple[str, ...], days: int | None, rate: float | None, burst: int | None, as_json: bool
) -> None:
    """Make a key for somebody who is to use the service.

    The result is a key, printed this once: the ledger keeps its hash alone. NAME says whose it is. Services that look at
    the same ledger know it within seconds.
    """
    key, token = _keys().add(
        name,
        scopes=scopes,
        by=who(),
        rate=_rate(rate, burst),
        expires_at=None if days is None else datetime.now(UTC) + timedelta(days=days),
    )
    _tell_once(key, token, as_json, "send it as X-Api-Key or Authorization: Bearer; it is not shown again")


@click.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """List the keys: whose, for what, until when, last used.

    The result is a line for each key that there ever was, the newest first; with --json, with who made and revoked it. The
    secrets are nowhere.
    """
    now = datetime.now(UTC)
    for key in _keys().all():
        if as_json:
            print_json(key.shown() | {"state": key.state(now)})
            continue
        until = f"until {key.expires_at[:10]}" if key.expires_at else "no end"
        used = f"used {key.last_used_at[:16]}" if key.last_used_at else "never used"
        rate = f"{key.rate.photos_per_second:g}/s, {key.rate.burst_photos} at once" if key.rate else "no limit"
        click.echo("  ".join((key.id, f"{key.name:20}", key.state(now), "+".join(key.scopes), rate, until, used)))


@click.command()
@click.argument("key_id", metavar="ID")
@click.option(
    "--grace-hours",
    type=click.IntRange(0, 8760),
    default=24,
    show_default=True,
    help="Hours that the old secret opens beside the new one; 0 where it has leaked.",
)
@json_option
def rotate(key_id: str, grace_hours: int, as_json: bool) -> None:
    """Give a key a new secret.

    The result is the key with the same id, name, scopes and rate, and a new secret, printed this once. Whoever holds the
    old one has the hours of grace to change over.
    """
    old_until = datetime.now(UTC) + timedelta(hours=grace_hours)
    key, token = _keys().rotate(key_id, by=who(), old_until=old_until)
    _tell_once(key, token, as_json, f"the old one opens until {key.old_secret_until}; this is not shown again")


@click.command()
@click.argument("key_id", metavar="ID")
@json_option
def revoke(key_id: str, as_json: bool) -> None:
    """Take a key away, for good.

    The result is a key that opens nothing any more, within seconds wherever the same ledger is looked at, and a row in the
    ledger that says who took it away and when.
    """
    key = _keys().revoke(key_id, by=who())
    if as_json:
        print_json(key.shown())
    else:
        click.echo(f"{key.id} ({key.name}) is revoked")


def _keys() -> "ApiKeys":
    require_extra("ledger", "keys")
    from binsight.settings import settings
    from binsight.storage.ledger import ApiKeys, Ledger

    opened = ApiKeys(Ledger.open(settings().ledger))
    click.get_current_context().call_on_close(opened.close)
    return opened


def _rate(rate: float | None, burst: int | None) -> "Rate | None":
    from binsight.storage.api_key import Rate

    if rate is None and burst is None:
        return None
    if rate is None:
        raise BadInput("--burst needs a rate; give --rate too")
    chosen = Rate(photos_per_second=rate, burst_photos=1 if burst is None else burst)
    return chosen if burst is not None else replace(chosen, burst_photos=max(1, round(10 * rate)))


def _tell_once(key: "ApiKey", token: str, as_json: bool, note: str) -> None:
    """The key alone on standard output, so that a script can catch it; the rest beside it."""
    if as_json:
        print_json({"key": token} | key.shown())
    else:
        click.echo(token)
        click.echo(f"{key.id} ({key.name}) for {', '.join(key.scopes)}: {note}", err=True)
