"""Where admins set up: who may sign in, and what the site wants of counts."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from binsight.audit.tasks import read_policy
from binsight.console.access import Administering, Form, Submitted
from binsight.console.pages import page, to
from binsight.console.passwords import hashed
from binsight.console.state import TheConsole
from binsight.errors import BadInput
from binsight.storage.ledger import ROLES

router = APIRouter()
TABLES = ("tolerance_by_site", "tolerance_by_class", "tolerance_by_item")
_NUMBERS = ("tolerance", "approve_units", "approve_value", "lease_seconds")


@router.get("/settings")
def settings_page(request: Request, _user: Administering, console: TheConsole) -> Response:
    """Users and the policy in force."""
    newest = console.policies.newest()
    return page(
        request,
        "settings.html",
        users=console.people.all(),
        roles=ROLES,
        policy=console.policy,
        newest=newest,
        tables={name: _as_lines(getattr(console.policy, name)) for name in TABLES},
    )


@router.post("/settings/policy")
def set_policy(request: Request, form: Submitted, user: Administering, console: TheConsole) -> Response:
    """A new policy, for all counts from now on."""
    policy = read_policy(_policy(form))
    seen = form.get("revision", "0")
    is_number = seen.isascii() and seen.isdigit() and len(seen) < 10
    console.policies.set(policy.model_dump(), seen=int(seen) if is_number else 0, by=user.name)
    return to(request, "/settings", note="The policy is in force.")


@router.post("/settings/users")
def add_user(request: Request, form: Submitted, user: Administering, console: TheConsole) -> Response:
    """A new user, with a first password that he changes."""
    name = form.get("name", "").strip()
    password_hash = hashed(form.get("password", ""), name=name)
    console.people.add(name, role=form.get("role", ""), password_hash=password_hash, by=user.name)
    return to(request, "/settings", note=f"{name} may sign in.")


@router.post("/settings/users/{name:path}")
def change_user(request: Request, form: Submitted, user: Administering, console: TheConsole, name: str) -> Response:
    """Change a role, let a user in or out, or set a new password."""
    people, what = console.people, form.get("what", "")
    if what == "role":
        people.set_role(name, form.get("role", ""), by=user.name)
    elif what == "disable":
        people.disable(name, by=user.name)
    elif what == "enable":
        people.enable(name, by=user.name)
    elif what == "password":
        people.set_password(name, hashed(form.get("password", ""), name=name), by=user.name)
    else:
        raise BadInput("a user is given a role, a password, let in or out; choose one")
    return to(request, "/settings", note=f"Done for {name}.")


def _policy(form: Form) -> dict[str, Any]:
    """A policy's fields out of a form's; an empty number is none."""
    fields: dict[str, Any] = {name: form.get(name, "").strip() or None for name in _NUMBERS}
    fields |= {name: _as_table(form.get(name, ""), name) for name in TABLES}
    fields["recount_at_bin"] = form.get("recount_at_bin") == "on"
    return {name: value for name, value in fields.items() if value is not None or name.startswith("approve")}


def _as_lines(table: Any) -> str:
    return "\n".join(f"{key} = {units}" for key, units in table.items())


def _as_table(text: str, name: str) -> dict[str, str]:
    """`KEY = UNITS`, one a line. Raises `BadInput` naming the line."""
    table = {}
    for number, line in enumerate(filter(str.strip, text.splitlines()), 1):
        key, equals, units = line.rpartition("=")
        if not equals or not key.strip():
            raise BadInput(
                f"{name.replace('_', ' ')}, line {number} must read NAME = UNITS, but is {line[:40]!r}; correct it"
            )
        table[key.strip()] = units.strip()
    return table
