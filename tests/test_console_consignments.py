"""Consignments in the console: found among many, and let go on the judgement that was seen."""

import re

from fastapi import FastAPI
from tests.console_support import Visitor, signed_in, what_it_says

from binsight.console.consignments_pages import PAGE
from binsight.storage.ledger import Consignments, Ledger


def judge(ledger: Ledger, consignment: str, decision: str, *totes: tuple[str, str]) -> None:
    """Keep a judgement as the nightly run does; of each tote its name and verdict."""
    shown = [
        {"tote": tote, "expected": 2, "seen": 3, "verdict": verdict, "reason": "", "photo": None}
        for tote, verdict in totes
    ]
    Consignments(ledger).judge(consignment, {"decision": decision, "totes": shown, "problems": []}, by="night")


def ids_on(page: object) -> list[str]:
    return re.findall(r"consignments/one\?id=([^\"]+)\"", page.text)  # type: ignore[attr-defined]


def all_pages(visitor: Visitor, path: str = "/consignments") -> list[str]:
    """The ids on this page and on those that follow."""
    found: list[str] = []
    while path:
        page = visitor.get(path)
        found += ids_on(page)
        more = re.search(r'href="/console(/consignments\?[^"]*after=[^"]+)"', page.text)
        path = more[1].replace("&amp;", "&") if more else ""
    return found


def test_a_consignment_goes_on_the_judgement_that_was_on_the_page(
    console_app: FastAPI, console_ledger: Ledger
) -> None:
    dan, kept = signed_in(console_app, "dan"), Consignments(console_ledger)
    judge(console_ledger, "C-1", "HOLD", ("T4", "suspect"), ("T5", "verified"))
    page = dan.get("/consignments/one?id=C-1")
    judge(console_ledger, "C-1", "HOLD", ("T4", "verified"), ("T5", "suspect"))
    given = {"reason": "T4 counted: 2", "override": "on"}
    refused = dan.submit(page, "/release", **given)
    assert refused.status_code == 409
    assert "was judged again, HOLD by night" in what_it_says(refused)
    assert dan.submit(page, "/release", **given, judged="").status_code == 409, "nor on none"
    assert kept.read("C-1").released is None
    dan.submit(dan.get("/consignments/one?id=C-1"), "/release", **given)
    history = kept.read("C-1")
    assert history.released is not None
    assert history.released.body["judged_hash"] == history.judged.hash


def test_every_consignment_is_found_and_those_on_hold_first(console_app: FastAPI, console_ledger: Ledger) -> None:
    dan, kept = signed_in(console_app, "dan"), Consignments(console_ledger)
    assert "None was judged yet" in what_it_says(dan.get("/consignments"))
    judge(console_ledger, "OLD-1", "HOLD", ("T", "suspect"))
    judge(console_ledger, "WENT-1", "HOLD", ("T", "suspect"))
    kept.release("WENT-1", by="dan", reason="counted", override=True)
    for number in range(PAGE + 3):
        judge(console_ledger, f"X-{number}", "RELEASE")
    assert ids_on(dan.get("/consignments"))[0] == "OLD-1"
    found = all_pages(dan)
    newest_first = [f"X-{number}" for number in reversed(range(PAGE + 3))]
    assert found == ["OLD-1", *newest_first, "WENT-1"]
    assert all_pages(dan, "/consignments?beginning=WENT") == ["WENT-1"]
    assert "None." in what_it_says(dan.get("/consignments?beginning=%25"))
    for after in ("x", "1:", "²:1", "9" * 30 + ":1"):
        assert len(ids_on(dan.get(f"/consignments?after={after}"))) == PAGE, "from the beginning"
