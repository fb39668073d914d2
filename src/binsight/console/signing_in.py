"""Signing in and out, and the first admin."""

import hmac

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from binsight.console.access import SESSION, Submitted, Visitor, drop_cookie, set_cookie
from binsight.console.pages import page, to
from binsight.console.passwords import hashed, is_right
from binsight.console.state import Console, TheConsole
from binsight.errors import BadInput, NotAllowed
from binsight.service.addresses import is_loopback, is_public
from binsight.storage.ledger import ADMIN, COUNTER, User

router = APIRouter()


@router.get("/sign-in")
def sign_in_page(request: Request, user: Visitor) -> Response:
    """The form."""
    if user is not None:
        return to(request, home(user))
    return page(request, "sign_in.html", wanted=_local(request.query_params.get("to", "")), name="", wrong="")


@router.post("/sign-in")
def sign_in(request: Request, form: Submitted, console: TheConsole) -> Response:
    """Begin a session. Raises `TooMany` for who tries too often."""
    name, wanted = form.get("name", "").strip(), _local(form.get("to", ""))
    keys = (f"name {name.casefold()[:100]}", *_address(request, console))
    console.attempts.check(*keys)
    found = console.people.with_hash(name)
    if not is_right(form.get("password", ""), found[1] if found else None) or found is None:
        console.attempts.failed(*keys)
        wrong = "There is no user of this name with this password."
        return page(request, "sign_in.html", status=401, wanted=wanted, name=name, wrong=wrong)
    return _signed_in(request, console, found[0], wanted)


@router.post("/sign-out")
def sign_out(request: Request, _form: Submitted, user: Visitor, console: TheConsole) -> Response:
    """End the session, and give tasks back."""
    if token := request.cookies.get(SESSION):
        console.sessions.end(token)
    if user is not None:
        console.leases.release(user.id)
    response = to(request, "/sign-in", note="You are signed out.")
    drop_cookie(request, response, SESSION)
    return response


@router.get("/setup")
def setup_page(request: Request, console: TheConsole, token: str = "") -> Response:
    """The form for the first admin."""
    _check_setup(console, token)
    return page(request, "setup.html", token=token)


@router.post("/setup")
def setup(request: Request, form: Submitted, console: TheConsole) -> Response:
    """Make the first admin, and sign him in."""
    _check_setup(console, form.get("token", ""))
    name = form.get("name", "").strip()
    if form.get("password", "") != form.get("again", ""):
        raise BadInput("the two passwords differ; type the same twice")
    password_hash = hashed(form.get("password", ""), name=name)
    user = console.people.add(name, role=ADMIN, password_hash=password_hash, by=name, first_admin=True)
    return _signed_in(request, console, user, "/settings")


@router.get("/password")
def password_page(request: Request, user: Visitor) -> Response:
    """The form for a new password of one's own."""
    return page(request, "password.html") if user else to(request, "/sign-in")


@router.post("/password")
def set_password(request: Request, form: Submitted, user: Visitor, console: TheConsole) -> Response:
    """Change one's own password; all other sessions end."""
    if user is None:
        return to(request, "/sign-in")
    keys = (f"name {user.name.casefold()}",)
    console.attempts.check(*keys)
    found = console.people.with_hash(user.name)
    if not is_right(form.get("old", ""), found[1] if found else None):
        console.attempts.failed(*keys)
        raise BadInput("the present password is another one; type it again")
    if form.get("password", "") != form.get("again", ""):
        raise BadInput("the two new passwords differ; type the same twice")
    console.people.set_password(user.name, hashed(form.get("password", ""), name=user.name), by=user.name)
    return _signed_in(request, console, user, home(user), note="Your password is changed.")


def home(user: User) -> str:
    """Where a person begins."""
    return "/count" if user.role == COUNTER else "/"


def _signed_in(request: Request, console: Console, user: User, wanted: str, note: str = "") -> Response:
    response = to(request, wanted or home(user), note=note)
    set_cookie(request, response, SESSION, console.sessions.begin(user))
    return response


def _address(request: Request, console: Console) -> list[str]:
    """The address that waits after wrong passwords: none where that is a proxy's, behind which everybody would wait.

    It is one where it says that it forwards, and nobody has named it as trusted, so that it is not believed for whom. A
    public address that says so may be anybody who wants to guess on.
    """
    address = request.client.host if request.client else ""
    forwards = not {"x-forwarded-for", "forwarded", "x-real-ip"}.isdisjoint(request.headers.keys())
    is_named = bool(console.settings.trusted_proxies) and not is_loopback(address)
    if not forwards or is_named or is_public(address):
        return [f"address {address}"]
    console.warn_of_proxy(address)
    return []


def _check_setup(console: Console, token: str) -> None:
    if console.people.has_admin() or not hmac.compare_digest(token.encode(), console.setup_token.encode()):
        raise NotAllowed(
            "the first admin is made with the link that the service wrote into its log when it began; use it, or ask an "
            "admin for an account"
        )


def _local(path: str) -> str:
    """A page of the console, or nothing: a link must not lead from here to elsewhere."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else ""
