"""A real browser on a real service: Debian's Chromium, driven by Playwright, and axe-core from npm."""

import fcntl
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.console_support import CONSOLE, a_person, an_audit_with_photos
from tests.debian import installed
from tests.service_support import serving
from tests.tasks_support import a_line

from binsight.storage.ledger import Ledger, People, Sessions

AXE = "4.14.1"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
WIDTHS = (1440, 768, 360)


def chromium() -> str:
    """Where Chromium is; tests that need it are skipped where it cannot be."""
    if not shutil.which("chromium") and not installed("chromium"):
        pytest.skip("Chromium is not here and cannot be installed without root and apt-get")
    return str(shutil.which("chromium"))


def axe_source() -> str:
    """axe-core, packed by npm once for this machine; tests that need it are skipped without."""
    kept = Path(tempfile.gettempdir()) / f"binsight-tests-axe-{AXE}"
    kept.mkdir(exist_ok=True)
    with (kept / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        packed = kept / f"axe-core-{AXE}.tgz"
        if not packed.exists():
            if not shutil.which("npm"):
                pytest.skip("axe-core is not here and cannot be fetched without npm")
            command = ["npm", "pack", "--silent", f"axe-core@{AXE}"]
            done = subprocess.run(command, cwd=kept, check=False, capture_output=True, text=True)
            if done.returncode != 0:
                pytest.skip(f"axe-core cannot be fetched: {done.stderr.strip()[-200:]}")
    with tarfile.open(packed) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()


@dataclass
class Site:
    """A service with its console, a browser, and what went wrong in it."""

    url: str
    ledger: Ledger
    browser: Browser
    wrong: list[str] = field(default_factory=list)

    def context(self, name: str | None, *, width: int = 1440, **options: Any) -> BrowserContext:
        """A browser window of a person who is signed in, or of nobody."""
        context = self.browser.new_context(viewport={"width": width, "height": 900}, base_url=self.url, **options)
        context.set_default_timeout(20_000)
        if name is not None:
            found = People(self.ledger).with_hash(name)
            assert found is not None
            token = Sessions(self.ledger, idle=timedelta(hours=1), longest=timedelta(hours=1)).begin(found[0])
            context.add_cookies(
                [{"name": "binsight_session", "value": token, "domain": "127.0.0.1", "path": CONSOLE}]
            )
        context.on("console", lambda said: said.type in ("error", "warning") and self.wrong.append(said.text))
        context.on("weberror", lambda error: self.wrong.append(str(error.error)))
        return context

    @contextmanager
    def page(self, name: str | None, path: str, **options: Any) -> Iterator[Page]:
        """A page, and afterwards nothing that the browser complained of: no script failed, no policy was broken."""
        context, before = self.context(name, **options), len(self.wrong)
        try:
            page = context.new_page()
            page.goto(CONSOLE + path)
            yield page
            assert self.wrong[before:] == []
        finally:
            context.close()


@contextmanager
def a_site(folder: Path) -> Iterator[Site]:
    """A running service with thirty bins to count from photos or in aisle A, six in aisle B, and people."""
    url = f"sqlite:///{folder}/ledger.db"
    ledger = Ledger.open(url)
    lines = [a_line(place) for place in range(1, 31)] + [a_line(place, aisle="B") for place in range(31, 37)]
    an_audit_with_photos(ledger, folder, lines)
    for role, names in {"counter": COUNTERS, "approver": ("dan",), "admin": ("ann",)}.items():
        for name in names:
            a_person(ledger, name, role)
    with serving(env={"BINSIGHT_LEDGER": url}) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        yield Site(url=served.url, ledger=ledger, browser=browser)
        browser.close()
    ledger.close()


COUNTERS = tuple(f"counter {number}" for number in range(20))
"""One for each test, so that none has what another left."""


def scan(page: Page, text: str) -> None:
    """Type as a scanner does, five milliseconds a key however slow this machine is, and Enter."""
    keyboard, at = page.context.new_cdp_session(page), time.time()
    for turn, letter in enumerate([*text, "Enter"]):
        key = {"key": letter, "timestamp": at + 0.005 * turn}
        typed = {"text": "\r", "windowsVirtualKeyCode": 13} if letter == "Enter" else {"text": letter}
        keyboard.send("Input.dispatchKeyEvent", {"type": "keyDown", **key, **typed})
        keyboard.send("Input.dispatchKeyEvent", {"type": "keyUp", **key})
    keyboard.detach()


def bin_on(page: Page) -> str:
    """The bin that a page asks to count."""
    found = re.search(r"A-\d{4}", page.locator("h1").inner_text())
    assert found is not None
    return found[0]


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA on a page as it is now, each with the first element at fault."""
    found = page.evaluate(
        "(rules) => axe.run(document, { runOnly: rules, resultTypes: ['violations'] }).then((all) => all.violations)",
        list(RULES),
    )
    return [f"{one['id']}: {one['nodes'][0]['html'][:150]} ({len(one['nodes'])})" for one in found]


SMALL = """() => [...document.querySelectorAll("a, button, input, select, textarea, summary")].filter((one) => {
  if (one.type === "hidden" || one.closest("p, figcaption, dialog:not([open])") && one.matches("a")) return false;
  const box = (one.type === "checkbox" ? one.closest("label") : one).getBoundingClientRect();
  return one.checkVisibility() && box.right > 0 && (box.height < 43.9 || box.width < 43.9);
}).map((one) => one.outerHTML.slice(0, 120))"""
"""What can be pressed and is smaller than 44 px; links within sentences are as large as their line."""


def too_small(page: Page) -> list[str]:
    """What can be pressed and is smaller than 44 × 44 px."""
    small: list[str] = page.evaluate(SMALL)
    return small


def overflow(page: Page) -> int:
    """By how many pixels a page is wider than its window."""
    wider: int = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wider


def scale(page: Page) -> float:
    """How far the photo is zoomed in."""
    transform = page.locator("#sheet").evaluate("(sheet) => new DOMMatrix(getComputedStyle(sheet).transform).a")
    return round(float(transform), 2)


def looks(page: Page) -> tuple[str, str]:
    """How the photo is turned, and how bright it is."""
    turned, filters = page.locator("#photo").evaluate("(photo) => [photo.style.rotate, photo.style.filter]")
    return turned, filters


def focused(page: Page) -> str:
    """The id of what has the focus."""
    return str(page.evaluate("document.activeElement.id"))


def to_the_photo(page: Page) -> None:
    """By keys alone, once the station's script is there: it shows the tools, and hears keys from then on."""
    page.locator("#tools").wait_for()
    for _ in range(30):
        if focused(page) == "viewer":
            return
        page.keyboard.press("Shift+Tab")
    raise AssertionError("the photo cannot be reached by the keyboard")


def until_so(page: Page, check: Callable[[], bool]) -> None:
    """Wait for what a key or a page does in its own time."""
    for _ in range(60):
        if check():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not come to that")


def faults(page: Page, at: str) -> list[str]:
    """What is wrong with a page at each width."""
    wrong: list[str] = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wrong += [f"{at} at {width}: {one}" for one in violations(page)]
        wrong += [f"{at} at {width}: {one} is too small" for one in too_small(page)]
        wrong += [f"{at} at {width}: {overflow(page)} px too wide"] if overflow(page) > 0 else []
    return wrong
