"""Make README's pictures of the console: an audit of drawn bins, as people see it. Needs Chromium and Playwright.

./dev screenshots
"""

import csv
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from binsight.imaging.drawn import drawn_photo

IMAGES = Path(__file__).resolve().parent / "images"
PORT, PASSWORD, NUM_BINS = 18099, "a password for pictures", 40
SITE = f"http://127.0.0.1:{PORT}/console"
SIZE = {"width": 1280, "height": 760}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, _served(Path(folder)) as setup, sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        _people(browser, setup)
        _station(browser)
        _exceptions(browser)
        browser.close()
    for name in ("station", "exceptions"):
        path = IMAGES / f"{name}.png"
        Image.open(path).convert("RGB").quantize(200).save(path, optimize=True)
        print(path, path.stat().st_size)


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """An audit of drawn bins, one record in eight wrong, and the service with it; the link of the first admin."""
    (folder / "photos").mkdir()
    chance = random.Random(5)  # noqa: S311 - pictures, no secrets
    with (folder / "records.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["bin_id", "expected_qty", "site", "unit_value"])
        for number in range(NUM_BINS):
            bin_id, count = (
                f"P-{number // 10 + 1}-A{number % 10 + 1:02}",
                chance.choice([0, 1, 1, 2, 2, 3, 3, 4, 5, 7]),
            )
            (folder / "photos" / f"{bin_id}.jpg").write_bytes(drawn_photo(count, seed=number))
            rows.writerow([bin_id, count + 3 * (number % 8 == 0), "DC1", round(chance.uniform(3, 60), 2)])
    environment = {**os.environ, "BINSIGHT_LEDGER": f"sqlite:///{folder}/ledger.db"}
    run = [sys.executable, "-m", "binsight"]
    audit = [*run, "audit", "records.csv", "photos", "--tasks", "--budget", "20"]
    subprocess.run(audit, cwd=folder, env=environment, check=True)
    with (folder / "log").open("w") as log:
        serving = subprocess.Popen([*run, "serve", "--port", str(PORT)], cwd=folder, env=environment, stderr=log)
    try:
        yield _link(folder / "log")
    finally:
        serving.terminate()
        serving.wait()


def _link(log: Path) -> str:
    for _ in range(300):
        if found := re.search(r"http\S+/setup\?token=\S+", log.read_text()):
            return found[0]
        time.sleep(0.2)
    raise SystemExit(f"the service does not begin:\n{log.read_text()}")


def _people(browser: Browser, setup: str) -> None:
    page = browser.new_page()
    page.goto(setup)
    for field, text in (("#name", "ann"), ("#password", PASSWORD), ("#again", PASSWORD)):
        page.fill(field, text)
    page.click("button.main")
    for name, role in (("ben", "counter"), ("dan", "approver")):
        page.goto(f"{SITE}/settings")
        page.fill("#new-name", name)
        page.select_option("#new-role", role)
        page.fill("#new-password", PASSWORD)
        page.click("form.card.small button.main")
        page.wait_for_load_state()


def _signed_in(browser: Browser, name: str) -> Page:
    page = browser.new_context(viewport=SIZE).new_page()
    page.goto(f"{SITE}/sign-in")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button.main")
    page.wait_for_load_state("networkidle")
    return page


def _station(browser: Browser) -> None:
    page = _signed_in(browser, "ben")
    for _ in range(4):
        page.fill("#counted", "2")
        page.press("#counted", "Enter")
        page.wait_for_load_state("networkidle")
    photo = page.locator("#photo").bounding_box()
    assert photo is not None
    for x, y in ((0.3, 0.6), (0.52, 0.66), (0.7, 0.55)):
        page.mouse.click(photo["x"] + x * photo["width"], photo["y"] + y * photo["height"])
    page.screenshot(path=IMAGES / "station.png")


def _exceptions(browser: Browser) -> None:
    page = _signed_in(browser, "dan")
    page.goto(f"{SITE}/exceptions")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / "exceptions.png")


if __name__ == "__main__":
    main()
