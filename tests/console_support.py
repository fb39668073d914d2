"""The console for tests: a ledger with an audit, photos and people, and visitors who fill in forms without any script."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.tasks_support import a_line, an_audit

from binsight.console import add_console
from binsight.imaging.drawn import drawn_photo
from binsight.service.app import make_app
from binsight.settings import Settings
from binsight.storage.ledger import Audit, AuditLineRow, Ledger, People, User

PASSWORD = "a long enough one"
CONSOLE = "/console"


@cache
def password_hash() -> str:
    """Of `PASSWORD`, by a hasher that is quick where the console's own is meant to be slow."""
    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)


def a_person(ledger: Ledger, name: str, role: str = "counter") -> User:
    """A user who can sign in with `PASSWORD`."""
    return People(ledger).add(name, role=role, password_hash=password_hash(), by="ann")


def an_audit_with_photos(ledger: Ledger, folder: Path, lines: Sequence[AuditLineRow] | None = None) -> Audit:
    """An audit of six bins, or of these, with a task and a drawn photo for each."""
    lines = lines or [a_line(place) for place in range(1, 7)]
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for line in lines:
        (folder / str(line.photo)).write_bytes(drawn_photo(line.place % 7, seed=line.place, size=(240, 180)))
    return an_audit(ledger, lines, folder=str(folder))


def a_console(ledger_url: str, *, keys: bool = False, **chosen: object) -> FastAPI:
    """The service with its console, counting nothing: its bundle is never loaded."""
    settings = Settings(ledger=ledger_url, **chosen)  # type: ignore[arg-type]
    app = make_app(chosen=settings, keys=keys)
    add_console(app, address="http://testserver")
    return app


@dataclass
class Form:
    """A form of a page: what would be sent by its first button, or by the one that is named."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._text: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", "")))
        if not self.forms:
            return
        form, name = self.forms[-1], given.get("name", "")
        if tag == "input" and name and (given.get("type") != "checkbox" or "checked" in given):
            form.fields[name] = given.get("value", "on" if given.get("type") == "checkbox" else "")
        elif tag == "button" and name:
            form.buttons.append((name, given.get("value", "")))
        elif tag == "textarea":
            self._text, form.fields[name] = name, ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in form.fields):
            form.fields[self._select] = given.get("value", "")
            self._text = None if "value" in given else self._select  # its text is its value

    def handle_endtag(self, tag: str) -> None:
        self._text = None if tag in ("textarea", "option") else self._text
        self._select = None if tag == "select" else self._select

    def handle_data(self, data: str) -> None:
        if self._text:
            self.forms[-1].fields[self._text] += data


def forms_of(page: httpx.Response) -> list[Form]:
    """The forms of a page, in their order."""
    parser = _Forms()
    parser.feed(page.text)
    return parser.forms


class Visitor:
    """A browser without scripts: cookies, links and forms; `address` is what the service sees of it."""

    def __init__(self, app: FastAPI, address: str = "testclient", **headers: str) -> None:
        self.client = TestClient(
            app, raise_server_exceptions=False, follow_redirects=True, client=(address, 50000), headers=headers
        )

    def get(self, path: str) -> httpx.Response:
        """A page of the console."""
        return self.client.get(CONSOLE + path)

    def submit(self, page: httpx.Response, action: str, **fields: str) -> httpx.Response:
        """Fill in and send the form of a page whose address ends as this pattern; the page that it leads to."""
        form = next(one for one in forms_of(page) if re.search(f"{action}$", one.action))
        return self.client.post(form.action, data=form.fields | fields)

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in; the page that it leads to."""
        return self.submit(self.get("/sign-in"), "/sign-in", name=name, password=password)


def signed_in(app: FastAPI, name: str) -> Visitor:
    """A visitor who has signed in."""
    visitor = Visitor(app)
    assert visitor.sign_in(name).history[0].status_code == 303
    return visitor


def what_it_says(page: httpx.Response) -> str:
    """The text of a page's main part."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.text.partition("<main")[2].partition(">")[2]).split())


def where(page: httpx.Response) -> str:
    """Which page of the console it is."""
    return page.url.raw_path.decode().removeprefix(CONSOLE)


PEOPLE = {"ben": "counter", "cat": "counter", "dan": "approver", "ann": "admin"}


def a_world(folder: Path) -> Path:
    """A ledger with an audit of six bins (A-0001, …; the record says 3) and `PEOPLE`: its file, to be copied for a test."""
    file = folder / "ledger.db"
    ledger = Ledger.open(f"sqlite:///{file}")
    an_audit_with_photos(ledger, folder)
    for name, role in PEOPLE.items():
        a_person(ledger, name, role)
    ledger.close()
    return file
