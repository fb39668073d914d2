"""What the console refuses, and what every answer of it carries; over its whole stack, without a browser."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from tests.console_support import (
    CONSOLE,
    PASSWORD,
    Visitor,
    a_console,
    forms_of,
    signed_in,
    what_it_says,
    where,
)

from binsight.console.access import SESSION
from binsight.console.headers import FIXED
from binsight.service.app import make_app
from binsight.settings import Settings
from binsight.storage.ledger import Journal, Leases, Ledger, TaskRows

COUNT = r"/count/[^/]+"
"""Where a count is sent to; with more behind it, what else is done with it."""
FOR_COUNTERS = ("/count", "/walk", "/walk?site=DC1&aisle=A")
FOR_DECIDERS = ("/tasks",)
FOR_ADMINS = ("/settings",)


# --- Requests of other sites ---


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_form_without_its_sessions_token_is_refused(standing: FastAPI, token: str) -> None:
    ben = signed_in(standing, "ben")
    page = ben.submit(ben.get("/count"), COUNT, counted="3", csrf=token)
    assert page.status_code == 403
    assert "This form is not of your session" in page.text


def test_the_token_of_another_session_is_refused(standing: FastAPI) -> None:
    ben, cat = signed_in(standing, "ben"), signed_in(standing, "cat")
    theirs = forms_of(cat.get("/count"))[0].fields["csrf"]
    assert ben.submit(ben.get("/count"), COUNT, counted="3", csrf=theirs).status_code == 403
    again = signed_in(standing, "ben")
    old = forms_of(ben.get("/count"))[0].fields["csrf"]
    assert again.submit(again.get("/count"), "", counted="3", csrf=old).status_code == 403


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 303), ("none", 303)]
)
def test_what_a_browser_says_another_site_sent_is_refused(console_app: FastAPI, site: str, status: int) -> None:
    ben = signed_in(console_app, "ben")
    form = next(one for one in forms_of(ben.get("/count")) if one.action.endswith("/skip"))
    sent = form.fields | {"reason": "OTHER"}
    answer = ben.client.post(form.action, data=sent, headers={"sec-fetch-site": site}, follow_redirects=False)
    assert answer.status_code == status


def test_signing_in_for_somebody_else_takes_his_browsers_token(standing: FastAPI) -> None:
    theirs = forms_of(Visitor(standing).get("/sign-in"))[0].fields
    victim = Visitor(standing)
    answer = victim.client.post(f"{CONSOLE}/sign-in", data=theirs | {"name": "ben", "password": PASSWORD})
    assert answer.status_code == 403
    assert SESSION not in victim.client.cookies


def test_every_form_refuses_what_is_not_its_own(console_app: FastAPI) -> None:
    """Each address that takes forms, found in the console_app itself: none may forget to ask for the token."""
    ann = signed_in(console_app, "ann")
    ann.get("/settings")
    mounted = next(route for route in console_app.routes if getattr(route, "name", "") == "console")
    paths = mounted.app.open()._app.openapi()["paths"]  # type: ignore[attr-defined]
    addresses = [re.sub(r"{[^}]+}", "x", path) for path, methods in paths.items() if "post" in methods]
    assert len(addresses) >= 12
    for address in addresses:
        page = ann.client.post(CONSOLE + address, data={"a": "b"})
        assert (page.status_code, "This form is not of your session" in page.text) == (403, True), address


# --- Roles ---


def test_counters_see_no_page_that_shows_records(console_app: FastAPI, console_ledger: Ledger) -> None:
    task = TaskRows(console_ledger).find()[0].id
    ben = signed_in(console_app, "ben")
    for path in (*FOR_DECIDERS, *FOR_ADMINS, f"/tasks/{task}", f"/tasks/{task}/photo"):
        page = ben.get(path)
        assert page.status_code == 403, path
        assert 'href="/console/tasks"' not in page.text


@pytest.mark.parametrize("name", ["dan", "ann"])
def test_who_sees_records_does_not_count(standing: FastAPI, name: str) -> None:
    visitor = signed_in(standing, name)
    for path in FOR_COUNTERS:
        page = visitor.get(path)
        assert page.status_code == 403
        assert "counting is for those who see no records" in page.text.replace("Counting", "counting")
    form = forms_of(visitor.get("/password"))[-1].fields
    for path in ("/count/any", "/count/any/skip", "/count/any/take-back", "/count/any/outcome", "/alive", "/leave"):
        assert visitor.client.post(CONSOLE + path, data=form | {"counted": "3"}).status_code == 403, path


def test_approvers_do_not_set_up(standing: FastAPI) -> None:
    dan = signed_in(standing, "dan")
    assert dan.get("/settings").status_code == 403
    form = forms_of(dan.get("/password"))[-1].fields
    for path in ("/settings/policy", "/settings/users", "/settings/users/ben"):
        assert dan.client.post(CONSOLE + path, data=form).status_code == 403


def test_a_role_changes_at_once(console_app: FastAPI) -> None:
    ann, ben = signed_in(console_app, "ann"), signed_in(console_app, "ben")
    ann.submit(ann.get("/settings"), "/settings/users/ben", what="role", role="approver")
    assert ben.get("/tasks").status_code == 200
    assert ben.get("/count").status_code == 403
    ann.submit(ann.get("/settings"), "/settings/users/ben", what="disable")
    assert where(ben.get("/tasks")).startswith("/sign-in")


# --- Headers and files ---


def test_every_answer_carries_the_headers(
    console_app: FastAPI, console_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = TaskRows(console_ledger).find()[0].id
    ben, ann, nobody = signed_in(console_app, "ben"), signed_in(console_app, "ann"), Visitor(console_app)
    photo = re.search(r'src="/console(/photo/[^"]+)"', ben.get("/count").text)
    assert photo is not None
    answers = [ben.get(path) for path in (*FOR_COUNTERS, photo[1], "/tasks", "/nowhere", "/password")]
    answers += [ann.get(path) for path in ("/tasks", f"/tasks/{task}", f"/tasks/{task}/photo", "/settings")]
    answers += [nobody.get(path) for path in ("/sign-in", "/static/console.css", "/static/nowhere.js")]
    answers += [nobody.client.post(CONSOLE + "/sign-in"), nobody.client.put(CONSOLE + "/count")]

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a fault with a secret")

    monkeypatch.setattr(Leases, "aisles", fails)
    answers.append(ben.get("/walk"))
    assert answers[-1].status_code == 500
    assert "secret" not in answers[-1].text
    for answer in [step for last in answers for step in (*last.history, last)]:
        assert {name: answer.headers.get(name) for name in FIXED} == FIXED, answer.url
        kept = answer.headers["cache-control"]
        assert kept == "no-store" or "/photo" in str(answer.url) or "/static/" in str(answer.url)
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert not re.search(r"\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", answer.text), (
            "what the policy would refuse"
        )


def test_files_are_those_of_the_folder(standing: FastAPI) -> None:
    visitor = Visitor(standing)
    assert visitor.get("/static/station.js").headers["content-type"].startswith("text/javascript")
    for path in (
        "/static/../standing.py",
        "/static/%2e%2e/standing.py",
        "/static/..%2f..%2fsettings.py",
        "/static/",
    ):
        assert visitor.get(path).status_code == 404


def test_a_page_that_is_not_there_says_so_in_a_sentence(standing: FastAPI) -> None:
    page = Visitor(standing).get("/nowhere")
    assert page.status_code == 404
    assert "There is no such page." in what_it_says(page)


def test_cookies_that_nobody_gave_are_passed_over(standing: FastAPI) -> None:
    for value in ("MQ==", "é".encode().hex(), "bnVsbA==", "W10=", "%00"):
        visitor = Visitor(standing)
        visitor.client.cookies.set("binsight_note", value, path=CONSOLE)
        visitor.client.cookies.set(SESSION, value, path=CONSOLE)
        assert visitor.get("/sign-in").status_code == 200


# --- The service around it ---


def test_keys_for_the_service_do_not_shut_the_console(console_url: str) -> None:
    app = a_console(console_url, keys=True)
    visitor = Visitor(app)
    assert visitor.client.get("/metrics").status_code in (401, 503)
    assert visitor.client.get("/consoles").status_code in (401, 503)
    assert where(visitor.sign_in("ben")) == "/count"
    assert Visitor(app).client.get("/", follow_redirects=False).headers["location"] == "/console/"


def test_a_service_that_only_counts_has_no_console(console_url: str) -> None:
    client = Visitor(make_app(chosen=Settings(ledger=console_url), keys=False)).client
    assert client.get("/console/sign-in").status_code == client.get("/").status_code == 404


def test_a_ledger_that_cannot_be_opened_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database, however long one looks at it" * 100)
    page = Visitor(a_console(f"sqlite:///{tmp_path}/ledger.db")).get("/sign-in")
    assert page.status_code == 503
    assert page.text.startswith("The console cannot be opened: the ledger at sqlite:///")
    assert "Traceback" not in page.text


def test_no_password_and_no_token_reaches_the_journal(console_app: FastAPI, console_ledger: Ledger) -> None:
    ann = signed_in(console_app, "ann")
    ann.submit(ann.get("/settings"), "/settings/users", name="eve", role="counter", password="eves own password")
    kept = str(list(Journal(console_ledger).read()))
    assert "eve" in kept
    assert "eves own password" not in kept
    assert ann.client.cookies[SESSION] not in kept
