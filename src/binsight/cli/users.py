"""`binsight users add | list | password`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from binsight.cli import LazyGroup
from binsight.cli.options import json_option, print_json, require_extra, who

if TYPE_CHECKING:
    from binsight.storage.ledger import People

COMMANDS = {
    "add": ("binsight.cli.users:add", "Add a person who may sign in to the console."),
    "list": ("binsight.cli.users:list_users", "List who may sign in, and as what."),
    "password": ("binsight.cli.users:password", "Set a new password for somebody who lost theirs."),
}

password_option = click.password_option(
    "--password", help="Asked for where it is not given; other programs see what is given here."
)


@click.group(cls=LazyGroup, lazy=COMMANDS)
def users() -> None:
    """People of the console: who counts, who decides, who sets up."""


@click.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["counter", "approver", "admin"]), required=True, help="What they may do."
)
@password_option
@json_option
def add(name: str, role: str, password: str, as_json: bool) -> None:
    """Add a person who may sign in to the console.

    The result is a user in the ledger; the first admin may be made so as well. A counter counts and sees no records, an
    approver decides, an admin sets up.
    """
    with _people() as people:
        from binsight.console.passwords import hashed

        user = people.add(name, role=role, password_hash=hashed(password, name=name), by=who())
    if as_json:
        print_json(asdict(user))
    else:
        click.echo(f"{user.name} may sign in as {user.role}")


@click.command("list")
@json_option
def list_users(as_json: bool) -> None:
    """List who may sign in, and as what.

    The result is a line for each user there ever was, those who are locked out too; with --json a JSON line.
    """
    with _people() as people:
        for user in people.all():
            if as_json:
                print_json(asdict(user))
            else:
                click.echo(f"{user.name:24} {user.role:9} {'locked out' if user.disabled_at else ''}".rstrip())


@click.command()
@click.argument("name")
@password_option
@json_option
def password(name: str, password: str, as_json: bool) -> None:
    """Set a new password for somebody who lost theirs.

    The result is that the old one opens nothing any more, and that all their sessions end. For an admin too: whoever has
    the ledger may run this.
    """
    with _people() as people:
        from binsight.console.passwords import hashed

        people.set_password(name, hashed(password, name=name), by=who())
    if as_json:
        print_json({"name": name})
    else:
        click.echo(f"{name} has a new password")


@contextmanager
def _people() -> Iterator["People"]:
    require_extra("console", "users of the console")
    from binsight.settings import settings
    from binsight.storage.ledger import Ledger, People

    ledger = Ledger.open(settings().ledger)
    try:
        yield People(ledger)
    finally:
        ledger.close()
