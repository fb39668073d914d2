"""Signing in to the console and out, over its whole stack, without a browser."""

import logging
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.console_support import (
    CONSOLE,
    PASSWORD,
    Visitor,
    a_console,
    a_person,
    forms_of,
    signed_in,
    what_it_says,
    where,
)

from binsight.console.access import SESSION
from binsight.console.passwords import Attempts
from binsight.errors import TooMany
from binsight.storage.ledger import Leases, Ledger, People

COUNT = r"/count/[^/]+"
"""Where a count is sent to; with more behind it, what else is done with it."""
FOR_COUNTERS = ("/count", "/walk", "/walk?site=DC1&aisle=A")
FOR_DECIDERS = ("/tasks",)
FOR_ADMINS = ("/settings",)


# --- Signing in ---


@pytest.mark.parametrize(("name", "home"), [("ben", "/count"), ("ann", "/")])
def test_who_signs_in_begins_where_his_work_is(standing: FastAPI, name: str, home: str) -> None:
    page = Visitor(standing).sign_in(name)
    assert (page.history[0].status_code, where(page)) == (303, home)


@pytest.mark.parametrize(("name", "password"), [("ben", "a wrong password"), ("nobody", PASSWORD), ("", "")])
def test_a_wrong_name_or_password_is_refused_in_the_same_words(standing: FastAPI, name: str, password: str) -> None:
    visitor = Visitor(standing)
    page = visitor.sign_in(name, password)
    assert page.status_code == 401
    assert "There is no user of this name with this password." in page.text
    assert SESSION not in visitor.client.cookies
    assert password not in page.text or not password


def test_who_guesses_waits(console_app: FastAPI) -> None:
    visitor = Visitor(console_app)
    for _ in range(10):
        assert visitor.sign_in("ben", "a wrong password").status_code == 401
    page = visitor.sign_in("ben")
    assert page.status_code == 429
    assert "Too many attempts failed." in what_it_says(page)
    assert 0 < int(page.headers["retry-after"]) <= 301
    assert SESSION not in visitor.client.cookies


BEHIND = {"X-Forwarded-For": "203.0.113.9"}


@pytest.mark.parametrize(
    ("address", "headers", "trusted", "waits"),
    [
        ("127.0.0.1", BEHIND, (), False),
        ("::1", BEHIND, ("127.0.0.1",), False),
        ("10.0.0.5", BEHIND, (), False),
        ("127.0.0.1", {}, (), True),
        ("10.0.0.5", BEHIND, ("127.0.0.1",), True),
        ("8.8.8.8", BEHIND, (), True),
    ],
)
def test_nobody_waits_for_who_guesses_behind_the_same_proxy(
    console_url: str,
    caplog: pytest.LogCaptureFixture,
    address: str,
    headers: dict[str, str],
    trusted: tuple[str, ...],
    waits: bool,
) -> None:
    """A proxy's address is everybody's, where it is not believed for whom it asks; others' are their own."""
    app = a_console(console_url, trusted_proxies=trusted)
    for number in range(10):
        assert Visitor(app, address, **headers).sign_in(f"nobody {number}", "a wrong one").status_code == 401
    assert Visitor(app, address, **headers).sign_in("ann").status_code == (429 if waits else 200)
    assert caplog.text.count("name it in BINSIGHT_TRUSTED_PROXIES") == (not waits), "and it is said once"
    for _ in range(10):
        Visitor(app, address, **headers).sign_in("cat", "a wrong one")
    assert Visitor(app, "9.9.9.9").sign_in("cat").status_code == 429 or waits, "names wait all the same"


def test_attempts_are_forgotten_in_time_and_those_of_others_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts, now = Attempts(most=2, within=60, remembered=2), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for _ in range(2):
        attempts.check("ben")
        attempts.failed("ben")
    with pytest.raises(TooMany, match="try again in 61 seconds"):
        attempts.check("cat", "ben")
    attempts.check("cat")
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    attempts.check("ben")


def test_who_is_not_signed_in_is_asked_to_and_then_led_on(standing: FastAPI) -> None:
    visitor = Visitor(standing)
    for path in (*FOR_COUNTERS, *FOR_DECIDERS, *FOR_ADMINS):
        assert where(visitor.get(path)).startswith("/sign-in"), path
    page = visitor.submit(visitor.get(FOR_COUNTERS[-1]), "/sign-in", name="ben", password=PASSWORD)
    assert where(page) == FOR_COUNTERS[-1]


@pytest.mark.parametrize(
    "to", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/\n/evil.example"]
)
def test_nobody_is_led_elsewhere(standing: FastAPI, to: str) -> None:
    visitor = Visitor(standing)
    page = visitor.client.get(f"{CONSOLE}/sign-in", params={"to": to})
    assert forms_of(page)[0].fields["to"] == ""
    page = visitor.submit(page, "/sign-in", name="ben", password=PASSWORD, to=to)
    assert [step.headers["location"] for step in page.history] == [f"{CONSOLE}/count"]


def test_a_count_leads_back_to_pages_of_the_console_alone(console_app: FastAPI) -> None:
    ben = signed_in(console_app, "ben")
    for here in ("//evil.example", "https://evil.example/walk?", "/walk?\r\nX-Evil: 1"):
        page = ben.submit(ben.get("/count"), COUNT, counted="3", here=here)
        page = ben.submit(ben.get("/count"), "/skip", reason="OTHER", here=here)
        assert page.history[0].headers["location"] == f"{CONSOLE}/count"


def test_sessions_end_when_the_person_says_so(console_app: FastAPI, console_ledger: Ledger) -> None:
    ben = signed_in(console_app, "ben")
    token = ben.client.cookies[SESSION]
    assert "Bin" in what_it_says(ben.get("/count"))
    page = ben.submit(ben.get("/count"), "/sign-out")
    assert "You are signed out." in page.text
    ben.client.cookies.set(SESSION, token, path=CONSOLE)
    assert where(ben.get("/count")).startswith("/sign-in"), "the token opens nothing any more"
    cat = next(user for user in People(console_ledger).all() if user.name == "cat")
    first = Leases(console_ledger).claim(cat.id, where="photo", seconds=60)[0]
    assert first.task.bin_id == "A-0001", "and what he had is others' at once"


def test_sessions_end_by_themselves(console_url: str) -> None:
    app = a_console(console_url, console_idle_minutes=1)
    ben = signed_in(app, "ben")
    ledger = Ledger.open(console_url)
    with ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE sessions SET used_at = '2026-01-01T00:00:00.000000+00:00'")
    ledger.close()
    assert where(ben.get("/count")).startswith("/sign-in")


def test_a_page_that_nobody_is_at_keeps_nobody_signed_in(console_app: FastAPI, console_ledger: Ledger) -> None:
    ben = signed_in(console_app, "ben")
    page = ben.get("/count")
    signs = {"csrf": forms_of(page)[0].fields["csrf"], "token": re.findall(r"/photo/([0-9a-f-]{36})", page.text)}
    late = (datetime.now(UTC) - timedelta(minutes=55)).isoformat(timespec="microseconds")
    with console_ledger.writing() as connection:
        connection.exec_driver_sql(f"UPDATE sessions SET used_at = '{late}'")
    for path in ("/alive", "/leave"):
        assert ben.client.post(CONSOLE + path, data=signs).json() == {"num_tasks": 2}
        with console_ledger.reading() as connection:
            assert connection.exec_driver_sql("SELECT used_at FROM sessions").scalar() == late, path
    ben.get("/walk")
    with console_ledger.reading() as connection:
        assert connection.exec_driver_sql("SELECT used_at FROM sessions").scalar() != late


def test_a_cookie_is_for_this_console_alone_and_scripts_cannot_read_it(standing: FastAPI) -> None:
    page = Visitor(standing).sign_in("ben")
    (cookie,) = [line for line in page.history[0].headers.get_list("set-cookie") if line.startswith(SESSION)]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and f"Path={CONSOLE}" in cookie
    assert "Secure" not in cookie, "http on this machine"
    over_tls = Visitor(standing)
    over_tls.client.base_url = "https://testserver"
    page = over_tls.sign_in("ben")
    assert all("Secure" in line for line in page.history[0].headers.get_list("set-cookie"))
    assert "Strict-Transport-Security" in page.headers


def test_a_new_password_ends_every_other_session(console_app: FastAPI) -> None:
    here, elsewhere = signed_in(console_app, "ben"), signed_in(console_app, "ben")
    form = here.get("/password")
    assert "the present password is another one" in here.submit(
        form, "/password", old="not this one", password="another one", again="another one"
    ).text.replace("The", "the")
    assert "differ" in here.submit(form, "/password", old=PASSWORD, password="another one", again="another 1").text
    page = here.submit(form, "/password", old=PASSWORD, password="another one", again="another one")
    assert "Your password is changed." in page.text
    assert where(here.get("/walk")) == "/walk"
    assert where(elsewhere.get("/walk")).startswith("/sign-in")
    assert Visitor(console_app).sign_in("ben").status_code == 401
    assert Visitor(console_app).sign_in("ben", "another one").status_code == 200


@pytest.mark.parametrize("password", ["short", "x" * 201, "BEN the counter"])
def test_a_password_that_will_not_do_is_refused(
    console_app: FastAPI, console_ledger: Ledger, password: str
) -> None:
    a_person(console_ledger, "ben the counter")
    visitor = signed_in(console_app, "ben the counter")
    page = visitor.submit(visitor.get("/password"), "/password", old=PASSWORD, password=password, again=password)
    assert page.status_code == 400
    assert "a password must" in page.text.replace("A password", "a password")


# --- The first admin ---


def test_a_count_of_another_system_does_not_shut_the_first_admin_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    ledger = Ledger.open(url)
    People(ledger).known("wms/ben", role="counter")
    ledger.close()
    visitor = Visitor(a_console(url))
    with caplog.at_level(logging.WARNING):
        visitor.get("/setup")
    link = re.search(r"make the first admin at http://testserver/console(/setup\?token=\S+)", caplog.text)
    assert link is not None
    given = {"name": "eve", "password": PASSWORD, "again": PASSWORD}
    assert where(visitor.submit(visitor.get(link[1]), "/setup", **given)) == "/settings"


def test_the_first_admin_is_made_once_with_the_link_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = a_console(f"sqlite:///{tmp_path}/new.db")
    visitor = Visitor(app)
    with caplog.at_level(logging.WARNING):
        assert visitor.get("/setup").status_code == 403
    link = re.search(r"make the first admin at http://testserver/console(/setup\?token=\S+)", caplog.text)
    assert link is not None
    assert visitor.get("/setup?token=another").status_code == 403
    form = visitor.get(link[1])
    given = {"name": "eve", "password": PASSWORD, "again": PASSWORD}
    assert visitor.submit(form, "/setup", **given | {"token": "another"}).status_code == 403
    assert "differ" in visitor.submit(form, "/setup", **given | {"again": "something else"}).text
    page = visitor.submit(form, "/setup", **given)
    assert where(page) == "/settings"
    assert visitor.get(link[1]).status_code == 403, "once"
    assert Visitor(app).submit(form, "/setup", **given).status_code == 403


# --- With the service ---


def test_the_console_ends_with_the_service(console_app: FastAPI) -> None:
    before = set(threading.enumerate())
    with TestClient(console_app) as client:
        while client.get("/ping").status_code != 200:
            pass
        client.get(CONSOLE)
        assert "settling" in {thread.name for thread in set(threading.enumerate()) - before}
    assert "settling" not in {thread.name for thread in set(threading.enumerate()) - before}
