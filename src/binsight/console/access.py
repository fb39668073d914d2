"""Who asks for a page, and whether a form is this person's own: sessions, roles, tokens against cross-site requests.

A form's token is bound to the browser's session, or before signing in to a cookie of its own. A request that a browser
says another site sent is refused as well (Sec-Fetch-Site), whatever it carries.
"""

import hmac
import secrets
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from binsight.console.state import Console, console_of
from binsight.errors import BadInput, NotAllowed
from binsight.storage.ledger import ADMIN, APPROVER, COUNTER, User

SESSION, VISIT = "binsight_session", "binsight_visit"
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"


class SignIn(Exception):
    """This page needs a person who is signed in."""


Form = Mapping[str, str]


def visitor(request: Request, console: Annotated[Console, Depends(console_of)]) -> User | None:
    """Who is signed in, if anybody."""
    return _visitor(request, console, is_use=True)


def _visitor(request: Request, console: Console, *, is_use: bool) -> User | None:
    token = request.cookies.get(SESSION)
    user = console.sessions.user_of(token, is_use=is_use) if token else None
    request.state.user = user
    return user


def signed_in(user: Annotated[User | None, Depends(visitor)]) -> User:
    """Who is signed in. Raises `SignIn`."""
    if user is None:
        raise SignIn
    return user


def counter(user: Annotated[User, Depends(signed_in)]) -> User:
    """A person who counts. Raises `NotAllowed`: who sees records cannot count blind."""
    if user.role != COUNTER:
        raise NotAllowed(
            f"counting is for those who see no records, but you are an {user.role}; sign in as a counter"
        )
    return user


def counters_page(request: Request, console: Annotated[Console, Depends(console_of)]) -> User:
    """Whose page of counting sends this by itself: it keeps nobody signed in. Raises as `signed_in` and `counter`."""
    return counter(signed_in(_visitor(request, console, is_use=False)))


def decider(user: Annotated[User, Depends(signed_in)]) -> User:
    """A person who may see records and decide. Raises `NotAllowed`."""
    if user.role not in (APPROVER, ADMIN):
        raise NotAllowed("this page shows what records say, and you count blind; ask an approver")
    return user


def admin(user: Annotated[User, Depends(signed_in)]) -> User:
    """A person who sets up. Raises `NotAllowed`."""
    if user.role != ADMIN:
        raise NotAllowed("this is for admins; ask one")
    return user


async def submitted(request: Request) -> Form:
    """The fields of a form that is this browser's own. Raises `NotAllowed` for any other."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise NotAllowed("this form was sent from another site; open the page here and send it again")
    try:
        fields = await request.form(max_files=4, max_fields=2000)
    except Exception as error:  # noqa: BLE001 - whatever the parser says, the form is at fault
        raise BadInput(f"this form cannot be read ({error}); open the page and send it again") from None
    request.state.files = {name: value for name, value in fields.multi_items() if isinstance(value, UploadFile)}
    # PostgreSQL keeps no text with a NUL in it, and nobody types one.
    texts = [(name, value.replace("\0", "")) for name, value in fields.multi_items() if isinstance(value, str)]
    request.state.all_fields = texts
    form = dict(request.state.all_fields)
    given = form.pop(CSRF_FIELD, "") or request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(given.encode(), csrf_token(request).encode()):
        raise NotAllowed("this form is not of your session, or of one that ended; open the page and send it again")
    return form


def whole_number(text: str) -> int:
    """What was typed. Raises `BadInput` for all that is no whole number; `int` would take "1_0", " 7" and "٣"."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 7):
        raise BadInput(f"a count must be a whole number of 0 or more, but is {text[:20]!r}; type digits")
    return int(text)


def csrf_token(request: Request) -> str:
    """The token that this browser's forms carry; empty bytes are never a session, so that none has the token of none."""
    bound_to = request.cookies.get(SESSION) or request.cookies.get(VISIT) or _new_visit(request)
    return hmac.new(bound_to.encode(), b"csrf", "sha256").hexdigest()


def _new_visit(request: Request) -> str:
    """A cookie for a browser that has none; `remember_visit` sends it."""
    if not hasattr(request.state, "visit"):
        request.state.visit = secrets.token_urlsafe(24)
    return str(request.state.visit)


def remember_visit(request: Request, response: Response) -> None:
    """Send the cookie to which a form's token was bound, where it is new."""
    if hasattr(request.state, "visit"):
        set_cookie(request, response, VISIT, request.state.visit)


def set_cookie(request: Request, response: Response, name: str, value: str, *, seconds: int | None = None) -> None:
    """A cookie that scripts cannot read, and that no other site's requests but plain links carry."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=request.scope.get("root_path") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def drop_cookie(request: Request, response: Response, name: str) -> None:
    """Have the browser forget a cookie."""
    response.delete_cookie(name, path=request.scope.get("root_path") or "/")


Counting = Annotated[User, Depends(counter)]
CountersPage = Annotated[User, Depends(counters_page)]
Deciding = Annotated[User, Depends(decider)]
Administering = Annotated[User, Depends(admin)]
SignedIn = Annotated[User, Depends(signed_in)]
Visitor = Annotated[User | None, Depends(visitor)]
Submitted = Annotated[Form, Depends(submitted)]
