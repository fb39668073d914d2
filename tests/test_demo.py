"""The demo: the main job with nothing to configure, with the network and without, honest about drawn bins."""

import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from binsight.cli import cli, demo_photos
from binsight.cli.demo_photos import DRAWN_COUNTS, PUBLIC_IDS
from binsight.imaging.drawn import drawn_photo
from binsight.records import CountEstimate
from binsight.report import EstimateCard, Page
from binsight.settings import settings


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of three bins, which is as true as one of two dozen."""
    monkeypatch.setattr(demo_photos, "DRAWN_COUNTS", DRAWN_COUNTS[2:5])
    monkeypatch.setattr(demo_photos, "PUBLIC_IDS", PUBLIC_IDS[:3])


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Lets a test set BINSIGHT_ENDPOINT_URL although a process reads its settings once."""
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["demo", *arguments], catch_exceptions=False)


def test_offline_it_counts_bins_it_draws_and_says_so(tmp_path: Path, few: None) -> None:
    result = run("--offline", "--out", str(tmp_path))
    assert result.exit_code == 0
    assert "drawn, not photographed" in result.stdout
    assert f"binsight count {tmp_path / 'drawn' / 'bin-images'}" in result.stdout
    page = (tmp_path / "index.html").read_text()
    assert "These are not photos." in page
    assert page.count('class="estimate"') == 3
    assert "record&#39;s" not in page and "true count 1" in page


def test_its_counts_have_the_fixed_shape(tmp_path: Path, few: None) -> None:
    run("--offline", "--out", str(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "counts.jsonl").read_text().splitlines()]
    assert [line["photo"] for line in lines] == ["drawn-01", "drawn-02", "drawn-03"]
    for line in lines:
        assert list(line) == ["photo", "count", "probs", "interval", "bin_label", "flags"]
        assert len(line["probs"]) == 21 and sum(line["probs"]) == pytest.approx(1, abs=1e-4)
        assert line["interval"][0] <= line["count"] <= line["interval"][1]


def test_drawn_bins_lie_there_as_abids_photos_do(tmp_path: Path, few: None) -> None:
    """So that every other command works on them, with the true count as their record."""
    run("--offline", "--out", str(tmp_path))
    for number, count in enumerate(DRAWN_COUNTS[2:5], start=1):
        assert (tmp_path / "drawn" / "bin-images" / f"drawn-{number:02}.jpg").is_file()
        record = json.loads((tmp_path / "drawn" / "metadata" / f"drawn-{number:02}.json").read_text())
        assert record["EXPECTED_QUANTITY"] == count
        assert sum(item["quantity"] for item in record["BIN_FCSKU_DATA"].values()) == count


def test_for_scripts_it_prints_one_json_object(tmp_path: Path, few: None) -> None:
    summary = json.loads(run("--offline", "--json", "--out", str(tmp_path)).stdout)
    assert summary["source"] == "drawn"
    assert (summary["num_counted"], summary["num_failed"]) == (3, 0)
    assert Path(summary["report"]).is_file() and Path(summary["counts"]).is_file()


def test_run_again_it_gives_the_same_counts_and_leaves_no_other_files(tmp_path: Path, few: None) -> None:
    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*.*") if path.suffix != ".html"}

    run("--offline", "--out", str(tmp_path))
    first = files()
    run("--offline", "--out", str(tmp_path))
    assert files() == first


def test_a_bucket_that_never_answers_is_given_up_within_the_limit(
    tmp_path: Path, few: None, endpoint: pytest.MonkeyPatch
) -> None:
    endpoint.setattr(demo_photos, "CONNECT_LIMIT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint.setenv("BINSIGHT_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        result = run("--out", str(tmp_path))
    assert result.exit_code == 0
    assert "did not answer within 1 s" in result.stderr
    assert "because the public bucket could not be read" in (tmp_path / "index.html").read_text()


class _Bucket(http.server.SimpleHTTPRequestHandler):
    """A public bucket as far as reading goes: objects by path, and 404 for those that are not there."""

    def end_headers(self) -> None:
        self.send_header("ETag", '"demo"')
        super().end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def public_bucket(tmp_path_factory: pytest.TempPathFactory, endpoint: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder behind a server that stands in for the public bucket: three photos with records of 2."""
    root = tmp_path_factory.mktemp("bucket")
    bucket = root / "aft-vbi-pds"
    (bucket / "bin-images").mkdir(parents=True)
    (bucket / "metadata").mkdir()
    for number, photo in enumerate(PUBLIC_IDS[:3]):
        (bucket / "bin-images" / f"{photo}.jpg").write_bytes(drawn_photo(2, seed=number, size=(200, 150)))
        (bucket / "metadata" / f"{photo}.json").write_text(
            json.dumps({"BIN_FCSKU_DATA": {"B0": {"quantity": 2}}, "EXPECTED_QUANTITY": 2})
        )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Bucket, directory=root))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint.setenv("BINSIGHT_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield bucket
    server.shutdown()
    thread.join()
    server.server_close()


def test_with_a_network_it_counts_public_photos_beside_their_records(
    tmp_path: Path, few: None, public_bucket: Path
) -> None:
    result = run("--out", str(tmp_path))
    assert result.exit_code == 0
    assert "drawn" not in result.stdout
    page = (tmp_path / "index.html").read_text()
    assert "CC BY-NC-SA" in page and "record 2" in page and "true count" not in page
    shutil.rmtree(public_bucket)  # what is there is not fetched again
    assert json.loads(run("--out", str(tmp_path), "--json").stdout)["source"] == "abid"


def test_a_missing_public_photo_costs_that_photo_alone(tmp_path: Path, few: None, public_bucket: Path) -> None:
    (public_bucket / "bin-images" / f"{PUBLIC_IDS[1]}.jpg").unlink()
    assert json.loads(run("--out", str(tmp_path), "--json").stdout)["num_counted"] == 2


def test_its_report_needs_the_base_install_alone(tmp_path: Path) -> None:
    """The demo is the first thing after `pip install binsight`: no extra may be needed for it."""
    script = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('matplotlib', 'pyarrow', 'scipy', 'imagehash', 'torch', 'timm'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from binsight.cli import demo_photos, main\n"
        "demo_photos.DRAWN_COUNTS = (1, 2)\n"
        f"sys.argv = ['binsight', 'demo', '--offline', '--out', {str(tmp_path)!r}]\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr


def estimate(*probs: float) -> CountEstimate:
    return CountEstimate(photo="p", probs=probs)


@pytest.mark.parametrize(
    ("known", "verdict"), [(1, "agrees"), (2, "within"), (0, "differs"), (None, ""), (9, "within")]
)
def test_a_card_says_how_the_estimate_stands_to_what_is_known(known: int | None, verdict: str) -> None:
    card = EstimateCard(photo="p", jpeg=None, estimate=estimate(0.01, 0.6, 0.29, 0.1), known=known)
    assert (card.count, card.interval, card.verdict) == ("1", "1–3+", verdict)


def test_the_last_count_of_a_card_is_this_many_or_more() -> None:
    card = EstimateCard(photo="p", jpeg=None, estimate=estimate(0.0, 0.02, 0.98), known=40)
    assert (card.count, card.interval, card.verdict) == ("2+", "2+", "agrees")
    assert [bar.label for bar in card.bars if bar.is_known] == ["2+"]


def test_a_photo_that_cannot_be_counted_has_a_card_with_the_reason(tmp_path: Path) -> None:
    page = Page("Photos")
    page.estimates([EstimateCard(photo="<b>.jpg", jpeg=None, error="<b>.jpg is empty; fetch it again")])
    html = page.write(tmp_path).read_text()
    assert "not counted" in html and "&lt;b&gt;.jpg is empty" in html and "<b>.jpg" not in html
