"""Counting, deciding and setting up by plain forms, as a browser without scripts sends them."""

import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from tests.console_support import (
    CONSOLE,
    PASSWORD,
    Visitor,
    a_console,
    a_person,
    an_audit_with_photos,
    forms_of,
    signed_in,
    what_it_says,
    where,
)
from tests.tasks_support import a_line

from binsight.audit.tasks import policy_of
from binsight.storage.ledger import Ledger, Policies, TaskRows, prove

COUNT = r"/count/[^/]+"
AISLE = "/walk?site=DC1&aisle=A"


def bin_of(page: httpx.Response) -> str:
    """The bin that a page asks to count."""
    found = re.search(r"(?:Bin|Go to bin) (A-\d+)", what_it_says(page))
    assert found is not None, what_it_says(page)
    return found[1]


def states(ledger: Ledger) -> dict[str, str]:
    return {task.bin_id: task.state for task in TaskRows(ledger).find()}


def two_counts(app: FastAPI, first: str, second: str) -> str:
    """Two people count the first bin; its task."""
    for name, counted in (("ben", first), ("cat", second)):
        visitor = signed_in(app, name)
        visitor.submit(visitor.get("/count"), COUNT, counted=counted)
        visitor.submit(visitor.get("/count"), "/sign-out")
    dan = signed_in(app, "dan")
    link = re.search(r'href="/console(/tasks/[^"]+)"', dan.get("/tasks").text)
    assert link is not None
    return link[1]


# --- Counting ---


def test_bins_without_site_and_aisle_are_counted_at_the_bin(tmp_path: Path) -> None:
    """As they come from records with numbers for bins, and no column for either."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = Ledger.open(url)
    an_audit_with_photos(ledger, tmp_path, [a_line(1, site="", aisle="")])
    a_person(ledger, "ben")
    ben = Visitor(a_console(url))
    aisles = ben.submit(ben.get("/walk"), "/sign-in", name="ben", password=PASSWORD)
    assert what_it_says(aisles).endswith("no aisle 1 bin")
    link = re.search(r'href="/console(/walk\?[^"]+)"', aisles.text)
    assert link is not None
    page = ben.get(link[1].replace("&amp;", "&"))
    assert bin_of(page) == "A-0001"
    page = ben.submit(page, COUNT, counted="3")
    assert (where(page), states(ledger)) == (link[1].replace("&amp;", "&"), {"A-0001": "matched"})
    ledger.close()


@pytest.mark.parametrize("place", ["/count", AISLE])
def test_one_counts_bin_after_bin(console_app: FastAPI, console_ledger: Ledger, place: str) -> None:
    ben, seen = Visitor(console_app), []
    page = ben.submit(ben.get(place), "/sign-in", name="ben", password=PASSWORD)
    for counted in ("3", "4", "0"):
        seen.append(bin_of(page))
        page = ben.submit(
            page, COUNT, counted=counted, comment=f"{counted} it is", seconds="1.5", marks="[[0.5,0.5]]"
        )
        assert where(page) == place
        assert f"Your last count: bin {seen[-1]} , {counted} items." in what_it_says(page)
    assert seen == ["A-0001", "A-0002", "A-0003"]
    assert [states(console_ledger)[name] for name in seen] == ["matched", "recount", "recount"]
    (one,) = TaskRows(console_ledger).detail(TaskRows(console_ledger).find()[1].id).counts
    assert (one.user, one.counted, one.comment, one.seconds) == ("ben", 4, "4 it is", 1.5)
    assert one.marks == "[[0.5, 0.5]]"
    assert prove(console_ledger).broken is None


@pytest.mark.parametrize("counted", ["", "-1", "3.0", "1_0", "٣", "three", "10000000", "9" * 5000])
def test_what_is_no_number_is_refused_in_a_sentence(
    console_app: FastAPI, console_ledger: Ledger, counted: str
) -> None:
    ben = signed_in(console_app, "ben")
    page = ben.submit(ben.get("/count"), COUNT, counted=counted)
    assert page.status_code == 400
    assert "A count must be a whole number of 0 or more" in page.text
    assert set(states(console_ledger).values()) == {"count"}
    assert bin_of(ben.get("/count")) == "A-0001", "it is still there to be counted"


def test_fields_that_scripts_fill_may_hold_anything(console_app: FastAPI, console_ledger: Ledger) -> None:
    ben = signed_in(console_app, "ben")
    for seconds, marks in (("nan", "{"), ("-1", '{"a": 1}'), ("1e999", "[[1]]"), ("x\0", '[[NaN, 2], ["a", 1]]')):
        page = ben.submit(ben.get("/count"), COUNT, counted="3", seconds=seconds, marks=marks, comment="\0odd")
        assert page.status_code == 200
    for task in TaskRows(console_ledger).find(states=("matched",)):
        (one,) = TaskRows(console_ledger).detail(task.id).counts
        assert (one.seconds, one.marks, one.comment) == (None, "[]", "odd")


def test_sending_a_count_twice_counts_once(console_app: FastAPI, console_ledger: Ledger) -> None:
    ben = signed_in(console_app, "ben")
    form = ben.get("/count")
    assert [ben.submit(form, COUNT, counted="4").status_code for _ in range(2)] == [200, 200]
    assert len(TaskRows(console_ledger).detail(TaskRows(console_ledger).find()[0].id).counts) == 1
    page = ben.submit(form, COUNT, counted="5")
    assert page.status_code == 409
    assert "Bin A-0001 was counted as 4 already" in page.text


def test_a_count_for_somebody_elses_task_is_refused(console_app: FastAPI) -> None:
    ben, cat = signed_in(console_app, "ben"), signed_in(console_app, "cat")
    theirs = next(form.action for form in forms_of(ben.get("/count")) if re.search(f"{COUNT}$", form.action))
    own = forms_of(cat.get("/count"))[0].fields
    for action in (theirs, f"{CONSOLE}/count/unknown", f"{CONSOLE}/count/%00"):
        page = cat.client.post(action, data=own | {"counted": "3"})
        assert page.status_code == 404
        assert "This task was never given to you" in page.text
    assert cat.client.get(theirs.replace("/count/", "/photo/")).status_code == 404


def test_a_bin_is_passed_on_for_a_reason(console_app: FastAPI, console_ledger: Ledger) -> None:
    ben = signed_in(console_app, "ben")
    page = ben.submit(ben.get("/count"), "/skip", reason="")
    assert page.status_code == 400
    page = ben.submit(ben.get("/count"), "/skip", reason="UNCLEAR_PHOTO")
    assert "Passed on: the photo does not show enough." in what_it_says(page)
    assert bin_of(page) == "A-0002"
    assert bin_of(signed_in(console_app, "cat").get("/count")) == "A-0004", "its photo is no use to anybody"
    assert bin_of(signed_in(console_app, "cat").get(AISLE)) == "A-0001"


def test_a_count_is_taken_back_until_its_outcome_was_seen(console_app: FastAPI, console_ledger: Ledger) -> None:
    ben = signed_in(console_app, "ben")
    page = ben.submit(ben.get("/count"), COUNT, counted="33")
    page = ben.submit(page, "/take-back")
    assert "Count bin A-0001 again." in what_it_says(page)
    assert bin_of(page) == "A-0001"
    page = ben.submit(page, COUNT, counted="4")
    outcome = ben.submit(page, "/outcome")
    assert "You counted 4 ; the record says 3 ." in what_it_says(outcome)
    assert "Another person counts it again." in what_it_says(outcome)
    page = ben.submit(page, "/take-back")
    assert "you have seen what came of it" in page.text
    assert not any("/take-back" in form.action for form in forms_of(ben.get("/count")))
    assert prove(console_ledger).broken is None


def test_nobody_sees_the_outcome_before_his_count(console_app: FastAPI) -> None:
    ben = signed_in(console_app, "ben")
    token = re.search(r"/photo/([^\"]+)", ben.get("/count").text)
    assert token is not None
    fields = forms_of(ben.get("/count"))[0].fields
    page = ben.client.post(f"{CONSOLE}/count/{token[1]}/outcome", data=fields)
    assert page.status_code >= 400
    assert "There is nothing to see before your count is in." in what_it_says(page)


def test_programs_get_json(console_app: FastAPI) -> None:
    ben = signed_in(console_app, "ben")
    form = next(form for form in forms_of(ben.get("/count")) if re.search(f"{COUNT}$", form.action))
    sent = {"data": form.fields | {"counted": "4"}, "headers": {"accept": "application/json"}}
    answers = [ben.client.post(form.action, **sent).json() for _ in range(2)]  # type: ignore[arg-type]
    assert [(answer["counted"], answer["was_there"]) for answer in answers] == [(4, False), (4, True)]


@pytest.mark.parametrize("what", ["gone", "changed"])
def test_a_photo_that_cannot_be_shown_is_said_in_a_sentence(tmp_path: Path, what: str) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = Ledger.open(url)
    an_audit_with_photos(ledger, tmp_path, [a_line(1)])
    with ledger.writing() as connection:
        connection.exec_driver_sql(f"UPDATE audit_lines SET photo_sha256 = '{'0' * 64}'")
    for name, role in (("ben", "counter"), ("dan", "approver")):
        a_person(ledger, name, role)
    task = TaskRows(ledger).find()[0].id
    ledger.close()
    if what == "gone":
        (tmp_path / "photos" / "A-0001.jpg").unlink()
    app = a_console(url)
    ben, dan = signed_in(app, "ben"), signed_in(app, "dan")
    token = re.search(r"/photo/([^\"]+)", ben.get("/count").text)
    assert token is not None
    for page in (ben.get(f"/photo/{token[1]}"), dan.get(f"/tasks/{task}/photo")):
        assert page.status_code == (404 if what == "gone" else 400)
        words = {"gone": "The photo of bin A-0001 is gone", "changed": "is not the one that was counted"}
        assert words[what] in page.text
        assert str(tmp_path) not in page.text
        assert "photos/" not in page.text, "a file's name may say what is in the bin"


# --- Deciding ---


def test_a_third_person_decides_by_form(console_app: FastAPI, console_ledger: Ledger) -> None:
    path = two_counts(console_app, "4", "5")
    dan = signed_in(console_app, "dan")
    page = dan.get(path)
    said = what_it_says(page)
    assert "The record says 3" in said and "ben" in said and "cat" in said
    assert dan.get(f"{path}/photo").headers["content-type"] == "image/jpeg"
    for fields, words in (
        ({"word": "approved", "reason": ""}, "A correction needs a reason of the list"),
        ({"word": "approved", "reason": "OTHER"}, "The reason OTHER needs a comment"),
        ({"word": "approved", "reason": "MISSING", "quantity": "x"}, "A count must be a whole number"),
        ({"word": "burned"}, "choose one"),
    ):
        answer = dan.submit(page, "/decide", **fields)
        assert (answer.status_code, words in answer.text) == (400, True), fields
    answer = dan.submit(page, "/decide", word="approved", reason="MISSING", quantity="4", comment="two looked")
    assert "Decided." in answer.text
    task = TaskRows(console_ledger).find()[0]
    assert (task.state, task.quantity) == ("approved", 4)
    answer = dan.submit(page, "/decide", word="rejected")
    assert "does not wait for a decision: it is approved" in answer.text
    assert prove(console_ledger).broken is None


@pytest.mark.parametrize(("word", "state"), [("rejected", "rejected"), ("recount", "recount")])
def test_counts_are_rejected_or_made_again(
    console_app: FastAPI, console_ledger: Ledger, word: str, state: str
) -> None:
    path = two_counts(console_app, "4", "5")
    dan = signed_in(console_app, "dan")
    dan.submit(dan.get(path), "/decide", word=word)
    assert TaskRows(console_ledger).find()[0].state == state


def test_tasks_are_listed_by_state(console_app: FastAPI) -> None:
    dan = signed_in(console_app, "dan")
    assert "None." in what_it_says(dan.get("/tasks"))
    assert "A-0006" in what_it_says(dan.get("/tasks?state=count"))
    for query in ("state=nonsense", "after=x", "state=count&after=9999999999999999999:a", "after=²:a"):
        assert dan.get(f"/tasks?{query}").status_code == 200
    assert dan.get("/tasks/unknown").status_code == 404


# --- Setting up ---


def test_people_are_added_changed_and_locked_out_by_form(console_app: FastAPI) -> None:
    ann = signed_in(console_app, "ann")
    page = ann.submit(
        ann.get("/settings"), "/settings/users", name="eve / 2", role="counter", password="eves first one"
    )
    assert "eve / 2 may sign in." in page.text
    assert where(Visitor(console_app).sign_in("eve / 2", "eves first one")) == "/count"
    page = ann.submit(page, "/settings/users/eve%20/%202", what="password", password="eves second one")
    assert "Done for eve / 2." in page.text
    assert Visitor(console_app).sign_in("eve / 2", "eves first one").status_code == 401
    page = ann.submit(page, "/settings/users/eve%20/%202", what="disable")
    assert Visitor(console_app).sign_in("eve / 2", "eves second one").status_code == 401
    page = ann.submit(page, "/settings/users/eve%20/%202", what="enable")
    assert Visitor(console_app).sign_in("eve / 2", "eves second one").status_code == 200
    for fields, words in (
        ({"name": "eve / 2", "password": PASSWORD}, "There is a user &#39;eve / 2&#39; already"),
        ({"name": "new", "password": "short"}, "A password must have 10 to 200 characters"),
        ({"name": "", "password": PASSWORD}, "must be 1 to 100 printable characters"),
        ({"name": "new", "password": PASSWORD, "role": "boss"}, "A role must be"),
    ):
        assert words in ann.submit(page, "/settings/users", **fields).text, fields
    assert "there would be no admin left" in ann.submit(page, "/settings/users/ann", what="disable").text.lower()


def test_a_policy_is_set_by_form_and_wrong_lines_are_named(console_app: FastAPI, console_ledger: Ledger) -> None:
    ann = signed_in(console_app, "ann")
    page = ann.get("/settings")
    for fields, words in (
        (
            {"tolerance_by_class": "A = 1\nB 2"},
            "Tolerance by class, line 2 must read NAME = UNITS, but is &#39;B 2&#39;",
        ),
        ({"tolerance_by_item": "dear = many"}, "tolerance_by_item.dear"),
        ({"tolerance": "-1"}, "tolerance: "),
        ({"approve_value": "nan"}, "approve_value"),
        ({"lease_seconds": "1"}, "lease_seconds"),
        ({"revision": "²"}, None),
        ({"revision": "9" * 30}, "somebody else changed the policy"),
    ):
        answer = ann.submit(page, "/settings/policy", **fields)
        if words is None:
            assert answer.status_code == 200, "revision 0, as it is"
            page = ann.get("/settings")
        else:
            assert answer.status_code == (409 if "revision" in fields else 400), fields
            assert words.lower() in answer.text.lower(), fields
    page = ann.submit(
        page, "/settings/policy", tolerance_by_class="A = 1\n\nB=2", approve_units="", recount_at_bin="on"
    )
    assert "The policy is in force." in page.text
    policy = policy_of(console_ledger)
    assert (policy.tolerance_by_class, policy.approve_units, policy.recount_at_bin) == (
        {"A": 1, "B": 2},
        None,
        True,
    )
    assert forms_of(page)[-1].fields["tolerance_by_class"] == "A = 1\nB = 2"
    newest = Policies(console_ledger).newest()
    assert newest is not None and (newest.revision, newest.set_by) == (2, "ann")
    assert "Revision 2, set by ann" in what_it_says(page)
