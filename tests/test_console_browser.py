"""The console in a real browser: keys, scanners, photos ahead, handhelds, no scripts, accessibility."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect
from tests.browser_support import (
    COUNTERS,
    Site,
    a_site,
    axe_source,
    bin_on,
    faults,
    focused,
    looks,
    overflow,
    scale,
    scan,
    to_the_photo,
    too_small,
    until_so,
    violations,
)
from tests.console_support import CONSOLE, PASSWORD, Visitor, a_console
from tests.tasks_support import count as count_in

from binsight.storage.ledger import Leases, People, TaskRows
from binsight.storage.ledger.tables import tasks
from binsight.storage.ledger.tasks import CountRow

AISLE = "/walk?site=DC1&aisle=B"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with a_site(tmp_path_factory.mktemp("site")) as site:
        yield site


people = iter(COUNTERS)


@pytest.fixture
def who() -> str:
    """Somebody who counts and has done nothing yet."""
    return next(people)


@pytest.fixture
def station(site: Site, who: str) -> Iterator[Page]:
    with site.page(who, "/count") as page:
        yield page


def count_of(site: Site, bin_id: str, who: str) -> list[CountRow]:
    """What somebody counted in a bin."""
    (task,) = [one for one in TaskRows(site.ledger).find() if one.bin_id == bin_id]
    return [one for one in TaskRows(site.ledger).detail(task.id).standing if one.user == who]


def is_leased(site: Site, bin_id: str) -> bool:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    with site.ledger.reading() as connection:
        row = connection.execute(sa.select(tasks.c.leased_until).where(tasks.c.bin_id == bin_id)).one()
    return row.leased_until is not None and row.leased_until > now


# --- Signing in ---


def test_one_signs_in_by_keyboard(site: Site, who: str) -> None:
    with site.page(None, "/count") as page:
        expect(page.get_by_label("Name")).to_be_focused()
        page.keyboard.type(who)
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator("#counted")).to_be_focused()
        assert page.url.endswith("/console/count")


def test_a_form_of_another_site_is_refused(site: Site, who: str) -> None:
    context = site.context(who)
    page = context.new_page()
    page.goto(f"{CONSOLE}/count")
    bin_id, action = bin_on(page), page.locator(".pass-on").evaluate("(form) => form.action")
    forged = f'<form method="post" action="{action}"><input name="reason" value="OTHER"><button>win a prize</button></form>'
    context.route("http://evil.example/", lambda route: route.fulfill(body=forged, content_type="text/html"))
    page.goto("http://evil.example/")
    with page.expect_navigation() as gone:
        page.get_by_text("win a prize").click()
    assert gone.value is not None and gone.value.status == 403
    expect(page.get_by_text("This form was sent from another site")).to_be_visible()
    assert not [one for one in TaskRows(site.ledger).find() if one.bin_id == bin_id and one.state != "count"]
    context.close()


# --- The review station ---


def test_one_counts_by_keyboard_alone(site: Site, who: str, station: Page) -> None:
    first = bin_on(station)
    expect(station.locator("#counted")).to_be_focused()
    station.keyboard.type("3")
    station.keyboard.press("Enter")
    expect(station.locator(".last")).to_contain_text(f"Your last count: bin {first}, 3 items.")
    assert [one.counted for one in count_of(site, first, who)] == [3]
    assert bin_on(station) != first
    to_the_photo(station)
    station.keyboard.press("u")
    expect(station.get_by_text(f"Count bin {first} again.")).to_be_visible()
    assert count_of(site, first, who) == []
    expect(station.locator("#counted")).to_be_focused()
    to_the_photo(station)
    station.keyboard.press("p")
    expect(station.locator("#reason")).to_be_focused()
    station.keyboard.type("the bin cannot")
    station.keyboard.press("Tab")
    station.keyboard.press("Enter")
    expect(station.get_by_text("Passed on: the bin cannot be reached.")).to_be_visible()


def test_the_photo_is_looked_at_by_keys_while_it_has_the_focus(station: Page) -> None:
    to_the_photo(station)
    as_it_was = looks(station)
    for key, check in (
        ("+", lambda: scale(station) > 1),
        ("r", lambda: looks(station)[0] == "90deg"),
        ("b", lambda: "1.25" in looks(station)[1]),
        ("0", lambda: scale(station) == 1 and looks(station)[0] == "0deg"),
    ):
        station.keyboard.press(key)
        until_so(station, check)
    assert as_it_was == ("", "")
    station.keyboard.press("c")
    expect(station.locator("#counted")).to_be_focused()
    station.keyboard.type("+r")
    station.wait_for_timeout(100)
    assert (scale(station), looks(station)[0]) == (1, "0deg"), "elsewhere they are letters"
    station.locator("#counted").fill("")


def test_dots_are_set_by_clicks_and_taken_as_the_count(site: Site, who: str, station: Page) -> None:
    first = bin_on(station)
    box = station.locator("#photo").bounding_box()
    assert box is not None
    for x, y in ((0.25, 0.5), (0.5, 0.25), (0.75, 0.75)):
        station.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    expect(station.locator("#hint")).to_have_text("3 dots set.")
    to_the_photo(station)
    station.keyboard.press("Backspace")
    expect(station.locator("#hint")).to_have_text("2 dots set.")
    station.keyboard.press("r")  # and a dot on the turned photo is where it was clicked
    until_so(station, lambda: looks(station)[0] == "90deg")
    station.keyboard.press("Enter")
    expect(station.locator("#counted")).to_have_value("2")
    expect(station.locator("#counted")).to_be_focused()
    station.keyboard.press("Enter")
    expect(station.locator(".last")).to_contain_text(f"bin {first}, 2 items")
    (one,) = count_of(site, first, who)
    assert re.fullmatch(r"\[\[0\.2\d*, 0\.[45]\d*\], \[0\.[45]\d*, 0\.2\d*\]\]", one.marks), one.marks
    assert one.seconds is not None and 0 < one.seconds < 60


def test_keys_are_set_anew_kept_and_turned_off(station: Page) -> None:
    station.get_by_role("button", name="Keys").click()
    station.get_by_label("Key to rotate").focus()
    station.keyboard.press("x")
    expect(station.get_by_label("Key to rotate")).to_have_value("x")
    station.get_by_role("button", name="Done").click()
    station.reload()
    to_the_photo(station)
    station.keyboard.press("r")
    station.wait_for_timeout(100)
    assert looks(station)[0] == ""
    station.keyboard.press("x")
    until_so(station, lambda: looks(station)[0] == "90deg")
    station.get_by_role("button", name="Keys").click()
    station.get_by_label("use keys").uncheck()
    station.get_by_role("button", name="Done").click()
    station.reload()
    to_the_photo(station)
    station.keyboard.press("x")
    station.wait_for_timeout(100)
    assert looks(station)[0] == ""


def test_a_scan_neither_counts_nor_sets_off_keys(site: Site, who: str, station: Page) -> None:
    first = bin_on(station)
    station.locator("#counted").fill("1")
    scan(station, "7391")
    expect(station.locator("#hint")).to_have_text("A scan (7391) is no count: type the number.")
    expect(station.locator("#counted")).to_have_value("1")
    to_the_photo(station)
    scan(station, "urpb+d0-")
    expect(station.locator("#hint")).to_contain_text("A scan (urpb+d0-)")
    station.wait_for_timeout(150)
    assert (bin_on(station), scale(station), looks(station)) == (first, 1, ("", ""))
    assert focused(station) in ("counted", "viewer")
    assert count_of(site, first, who) == []


def test_the_next_photo_is_fetched_ahead_and_once(site: Site, who: str) -> None:
    fetched = "(url) => performance.getEntriesByName(new URL(url, location).href)[0]?.responseEnd > 0"
    with site.page(who, "/count") as page:
        ahead = page.locator("#bench").get_attribute("data-next")
        page.wait_for_function(fetched, arg=ahead)
        page.locator("#counted").fill("3")
        page.keyboard.press("Enter")
        expect(page.locator(".last")).to_be_visible()
        assert page.locator("#photo").get_attribute("src") == ahead
        page.wait_for_function(fetched, arg=ahead)
        sent = page.evaluate(
            "(url) => performance.getEntriesByName(new URL(url, location).href)[0].transferSize", ahead
        )
        assert sent == 0, "it came from the browser's own cache"


def test_a_page_that_nobody_is_at_gives_no_signs_of_life(station: Page) -> None:
    signs = list[str]()
    station.clock.install()
    station.on("request", lambda request: request.url.endswith("/alive") and signs.append(request.url))
    station.reload()
    for minutes, more in ((9, True), (2, True), (60, False)):
        before = len(signs)
        station.clock.run_for(60_000 * minutes)
        assert (len(signs) > before) == more, minutes
    station.mouse.move(300, 300)
    until_so(station, lambda: len(signs) > before)


def test_who_leaves_gives_his_bins_back_and_who_loads_the_page_anew_keeps_them(site: Site, who: str) -> None:
    def leased() -> set[str]:
        return {bin_id for bin_id in bins if is_leased(site, bin_id)}

    with site.page(who, "/count") as page:
        first = bin_on(page)
        bins = [task.bin_id for task in TaskRows(site.ledger).find(aisle="A")]
        before = leased()
        assert first in before
        page.reload()
        until_so(page, lambda: leased() == before)
        page.get_by_role("link", name="Count photos").click()
        expect(page.locator("#counted")).to_be_focused()
        page.wait_for_timeout(500)
        until_so(page, lambda: leased() == before)
        assert bin_on(page) == first
        page.goto("about:blank")
        until_so(page, lambda: len(leased()) == len(before) - 2)
        assert first not in leased()


# --- Handhelds, and no scripts ---


def test_one_walks_counts_and_scans_with_a_handheld(site: Site, who: str) -> None:
    with site.page(who, "/walk", width=360, has_touch=True, is_mobile=True) as page:
        page.get_by_role("link", name="B DC1").tap()
        first = bin_on(page)
        expect(page.locator("#label")).to_be_focused()
        scan(page, "A-9999")
        expect(page.locator("#scanned")).to_have_text(f"This is A-9999, not {first}: go on to the right one.")
        scan(page, first)
        expect(page.locator("#scanned")).to_have_text("This is the bin.")
        expect(page.locator("#counted")).to_be_focused()
        scan(page, "0012345")
        assert count_of(site, first, who) == [], "a scan into the number is no count"
        page.locator("#counted").fill("4")
        page.get_by_role("button", name="Count", exact=True).tap()
        expect(page.locator(".last")).to_contain_text(f"bin {first}, 4 items")
        assert [one.counted for one in count_of(site, first, who)] == [4]
        page.get_by_role("button", name="See what came of it").tap()
        expect(page.locator("main")).to_contain_text("Another person counts it again.")
        page.get_by_role("link", name="Go on").tap()
        assert bin_on(page) != first


def test_plain_forms_do_it_all_without_scripts(site: Site, who: str) -> None:
    with site.page(None, "/count", java_script_enabled=False) as page:
        page.get_by_label("Name").fill(who)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        first = bin_on(page)
        expect(page.locator("#tools")).to_be_hidden()
        page.get_by_label("How many items are in it?").fill("3")
        page.get_by_role("button", name="Count", exact=True).click()
        expect(page.locator(".last")).to_contain_text(f"bin {first}, 3 items")
        page.get_by_role("button", name="Take it back").click()
        assert bin_on(page) == first
        page.get_by_label("Or pass it on, because").select_option("OTHER")
        page.get_by_role("button", name="Pass on").click()
        expect(page.get_by_text("Passed on: something else.")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You are signed out.")).to_be_visible()


# --- Every page ---


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_source()


@pytest.mark.parametrize(
    ("role", "paths"),
    [
        (None, ("/sign-in",)),
        ("counter", ("/count", "/walk", AISLE, "/walk?site=DC1&aisle=none", "/password")),
        ("approver", ("/", "/exceptions", "LINE", "/consignments", "/models", "/tasks?state=count", "TASK")),
        ("admin", ("/settings",)),
    ],
    ids=["nobody", "counter", "approver", "admin"],
)
def test_every_page_can_be_read_and_pressed_by_everybody(
    site: Site, axe: str, who: str, role: str | None, paths: tuple[str, ...]
) -> None:
    name = {None: None, "counter": who, "approver": "dan", "admin": "ann"}[role]
    task = TaskRows(site.ledger).find()[0]
    there = {"TASK": f"/tasks/{task.id}", "LINE": f"/lines/{task.audit}/{task.place}"}
    wrong: list[str] = []
    with site.page(name, "/password" if name else "/sign-in") as page:
        for path in paths:
            page.goto(CONSOLE + there.get(path, path))
            page.evaluate(axe)
            wrong += faults(page, path)
    assert wrong == []


def to_a_decision(site: Site, task: str) -> None:
    """Another person recounts a bin that waits for it, and finds another number."""
    if TaskRows(site.ledger).detail(task).task.state != "recount":
        return
    found = People(site.ledger).with_hash(COUNTERS[-1])
    assert found is not None
    given = Leases(site.ledger).claim(found[0].id, where="photo", seconds=60, most=40)
    token = next(lease.token for lease in given if lease.task.id == task)
    count_in(site.ledger, token, 98, found[0])


def test_so_can_those_that_forms_and_errors_lead_to(site: Site, axe: str, who: str) -> None:
    wrong: list[str] = []
    with site.page(who, "/count") as page:
        task = next(one for one in TaskRows(site.ledger).find() if one.bin_id == bin_on(page))
        page.locator("#counted").fill("99")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="See what came of it").click()
        page.evaluate(axe)
        wrong += faults(page, "the outcome")
    to_a_decision(site, task.id)
    with site.page("dan", f"/tasks/{task.id}") as page:
        expect(page.get_by_role("heading", name="Decide", exact=True)).to_be_visible()
        page.evaluate(axe)
        wrong += faults(page, "a decision")
        page.get_by_label("Number to write to the stock").fill("x")
        page.get_by_role("button", name="Reject the counts").focus()
        page.goto(f"{CONSOLE}/nowhere")
        site.wrong.clear()  # the browser says that it was 404, and so it was
        page.evaluate(axe)
        wrong += faults(page, "an error")
    assert wrong == []


def test_the_first_admins_page_can_be_read_too(
    site: Site, axe: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Made by a console that nobody can sign in to yet, and shown with the files of the one that runs."""
    app = a_console(f"sqlite:///{tmp_path}/new.db")
    Visitor(app).get("/setup")
    link = re.search(r"/console(/setup\?token=\S+)", caplog.text)
    assert link is not None
    html = Visitor(app).get(link[1]).text
    context = site.context(None)
    context.route("**/console/setup", lambda route: route.fulfill(body=html, content_type="text/html"))
    page = context.new_page()
    page.goto(f"{CONSOLE}/setup")
    expect(page.get_by_role("heading", name="The first admin")).to_be_visible()
    page.evaluate(axe)
    assert faults(page, "the first admin's page") == []
    context.close()


def test_the_checks_find_what_is_wrong(site: Site, axe: str) -> None:
    with site.page(None, "/sign-in", width=360) as page:
        page.evaluate(axe)
        page.evaluate(
            """() => {
              const wrong = document.createElement("button"), wide = document.createElement("div");
              wrong.style.minHeight = wrong.style.height = "20px";
              wide.style.width = "500px"; wide.style.height = "1px";
              document.querySelector("main").append(wrong, wide);
            }"""
        )
        assert [one.partition(":")[0] for one in violations(page)] == ["button-name"]
        assert len(too_small(page)) == 1
        assert overflow(page) > 100
