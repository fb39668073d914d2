"""`binsight audit`, from files to the folder, the ledger and its proof."""

import csv
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from tests.tasks_support import a_user, claim, count

from binsight.audit.command import Photos, Terms, run_audit
from binsight.cli import cli
from binsight.errors import BadInput, BinsightError, GateFailed, StorageFailure
from binsight.imaging.drawn import drawn_photo
from binsight.storage.ledger import Audits, Journal, Ledger, TaskRows, prove
from binsight.storage.ledger.tables import audit_lines

Run = Callable[..., Result]
COUNTS = (0, 1, 2, 3, 4, 5)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in COUNTS:
        (folder / f"bin-{number}.jpg").write_bytes(drawn_photo(number, seed=number))
    return folder


@pytest.fixture
def run(places: dict[str, str]) -> Run:
    def run_it(*arguments: object) -> Result:
        return CliRunner().invoke(cli, ["audit", *map(str, arguments)])

    return run_it


def a_file(folder: Path, *rows: str, header: str = "bin_id,expected_qty") -> Path:
    file = folder / "records.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def records(folder: Path) -> Path:
    return a_file(folder, *(f"bin-{count},{count}" for count in COUNTS))


def lines_of(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_record_gets_a_line_and_the_folder_says_it_all(tmp_path: Path, photos: Path, run: Run) -> None:
    out = tmp_path / "out"
    result = run(records(tmp_path), photos, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    lines = lines_of(result)
    assert [line["bin_id"] for line in lines] == [f"bin-{count}" for count in COUNTS]
    assert list(lines[0])[:6] == ["bin_id", "expected", "count", "p_record", "verdict", "reason"]
    assert {line["verdict"] for line in lines} <= {"verified", "suspect", "not_assessable"}
    assert [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()] == lines
    with (out / "verdicts.csv").open(newline="") as file:
        assert [(row["bin_id"], row["verdict"]) for row in csv.DictReader(file)] == [
            (line["bin_id"], line["verdict"]) for line in lines
        ]
    summary = json.loads((out / "audit.json").read_text())
    assert summary["num_records"] == len(COUNTS)
    assert summary["certificate"]["in_force"] is True
    assert summary["certificate"]["drift"]["sentence"] == "6 photos were counted; drift is told from 100 on"
    assert summary["num_unused_photos"] == summary["num_problems"] == 0
    assert "Stock records against photos" in (out / "index.html").read_text()
    with (out / "tasks.csv").open(newline="") as file:
        tasks = list(csv.DictReader(file))
    assert {task["bin_id"] for task in tasks} == {
        line["bin_id"] for line in lines if line["verdict"] != "verified"
    }, "without a budget, every bin that is not verified"


def test_photos_that_were_counted_already_get_the_same_verdicts(tmp_path: Path, photos: Path, run: Run) -> None:
    counts = tmp_path / "counts.jsonl"
    counts.write_text(CliRunner().invoke(cli, ["count", str(photos), "--json"]).stdout)
    file = records(tmp_path)
    counted = lines_of(run(file, photos, "--out", tmp_path / "a", "--json"))
    given = lines_of(run(file, "--estimates", counts, "--out", tmp_path / "b", "--json"))
    for one, other in zip(counted, given, strict=True):
        assert one == {
            **other,
            **{name: pytest.approx(other[name], abs=1e-4) for name in ("p_record", "p_right", "units_off")},
        }


def test_what_cannot_be_used_is_named_and_the_rest_is_done(tmp_path: Path, photos: Path, run: Run) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in photos.iterdir():
        (folder / photo.name).write_bytes(photo.read_bytes())
    (folder / "bin-1.jpg").write_bytes(drawn_photo(1, seed=1)[:500])
    (folder / "nobody.jpg").write_bytes(drawn_photo(1, seed=9))
    out = tmp_path / "out"
    file = a_file(tmp_path, "bin-0,0", "bin-1,1", "bin-2,two", "bin-3,-3", "bin-4,4", "bin-9,2")
    result = run(file, folder, "--out", out)
    assert result.exit_code == 1
    assert "2 problems with rows" in result.stderr
    assert "1 photos that could not be counted" in result.stderr
    with (out / "problems.csv").open(newline="") as problems:
        assert [(row["row"], row["column"]) for row in csv.DictReader(problems)] == [
            ("4", "expected_qty"),
            ("5", "expected_qty"),
        ]
    with (out / "exceptions.csv").open(newline="") as exceptions:
        assert ("bin-1", "bad_photo") in [(row["bin_id"], row["exception"]) for row in csv.DictReader(exceptions)]
    by_bin = {line["bin_id"]: line for line in map(json.loads, (out / "verdicts.jsonl").read_text().splitlines())}
    assert list(by_bin) == ["bin-0", "bin-1", "bin-4", "bin-9"]
    assert by_bin["bin-1"]["exception"] == "bad_photo"
    assert "cut off or damaged" in str(by_bin["bin-1"]["reason"])
    assert by_bin["bin-9"]["reason"] == "there is no photo of it"
    unused = (out / "unused.txt").read_text().split()
    assert [Path(name).name for name in unused] == ["bin-2.jpg", "bin-3.jpg", "bin-5.jpg", "nobody.jpg"]


def test_the_budget_is_in_minutes_and_value_ranks_where_it_is_asked_for(tmp_path: Path, run: Run) -> None:
    probs = [0.1, 0.5, 0.4, *[0.0] * 18]
    counts = tmp_path / "counts.jsonl"
    counts.write_text("".join(json.dumps({"photo": f"{name}.jpg", "probs": probs}) + "\n" for name in "AB"))
    file = a_file(tmp_path, "A,1,1.50", "B,2,0.01", header="bin_id,expected_qty,unit_value")
    first = {}
    for name, options in {"units": (), "value": ("--by-value",)}.items():
        result = run(file, "--estimates", counts, "--budget", "1.7", "--out", tmp_path / name, *options)
        with (tmp_path / name / "plan.csv").open(newline="") as tasks:
            (task,) = csv.DictReader(tasks)
        assert float(task["seconds"]) + float(task["walk"]) <= 102, "and not two bins in 1.7 hours"
        assert ("of value, as expected" in result.stdout) == (name == "value")
        first[name] = task["bin_id"]
    assert first == {"units": "B", "value": "A"}


def test_a_file_without_lines_is_no_audit_in_which_all_is_right(tmp_path: Path, photos: Path, run: Run) -> None:
    empty = run(a_file(tmp_path, header="bin_id,expected_qty"), photos, "--out", tmp_path / "out")
    assert isinstance(empty.exception, BadInput)
    assert "must have a line of a bin, but has none" in str(empty.exception)
    assert not (tmp_path / "out" / "index.html").exists()


def test_the_ledger_keeps_the_audit_and_proves_it(
    tmp_path: Path, photos: Path, run: Run, places: dict[str, str]
) -> None:
    run(records(tmp_path), photos, "--out", tmp_path / "out")
    proof = run("verify-log", "--json")
    assert proof.exit_code == 0
    (found,) = lines_of(proof)
    assert (found["num_entries"], found["broken"]) == (5, None)
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    (begun,) = Journal(ledger).read(kind="audit.begun")
    rows = list(Audits(ledger).lines(begun.subject))
    assert [row.bin_id for row in rows] == [f"bin-{count}" for count in COUNTS]
    assert all(row.photo_sha256 and row.estimate for row in rows)
    kept = Audits(ledger).read(begun.subject)
    assert kept.model.startswith("default:")
    assert kept.certificate_sha256
    assert kept.terms["alpha"] == 0.05
    assert kept.terms["records_sha256"] == sha256((tmp_path / "records.csv").read_bytes()).hexdigest()
    for mistyped in ("abc", found["head"][:-1], f"{found['head'][:-1]}g"):
        refused = run("verify-log", "--head", mistyped)
        assert isinstance(refused.exception, BadInput), "which says nothing of the journal"
        assert "64 hexadecimal digits" in str(refused.exception)
    assert run("verify-log", "--head", found["head"].upper()).exit_code == 0
    assert isinstance(run("verify-log", "--head", "0" * 64).exception, GateFailed)
    with ledger.writing() as connection:
        connection.execute(sa.update(audit_lines).where(audit_lines.c.place == 2).values(expected=7))
    ledger.close()
    broken = run("verify-log")
    assert isinstance(broken.exception, GateFailed)
    assert "lines 1 to 6 of audit" in str(broken.exception)


def test_a_photo_that_a_record_names_goes_before_one_that_is_called_like_its_bin(tmp_path: Path, run: Run) -> None:
    counts = tmp_path / "counts.jsonl"
    counts.write_text(json.dumps({"photo": "B.jpg", "probs": [0.1, 0.5, 0.4, *[0.0] * 18]}) + "\n")
    file = a_file(tmp_path, "B,2,", "C,2,B.jpg", header="bin_id,expected_qty,photo")
    called, named = lines_of(run(file, "--estimates", counts, "--out", tmp_path / "out", "--json"))
    assert called["reason"] == "the photo B.jpg is bin C's already; a photo shows one bin"
    assert named["photo"] == "B.jpg"


def test_an_audit_that_is_not_to_be_kept_is_not(tmp_path: Path, photos: Path, run: Run) -> None:
    run(records(tmp_path), photos, "--out", tmp_path / "out", "--no-keep")
    assert lines_of(run("verify-log", "--json"))[0]["num_entries"] == 0


def test_an_audit_that_is_cut_off_keeps_what_it_had_and_proves(
    tmp_path: Path, photos: Path, places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("binsight.audit.keep.TOGETHER", 2)
    told: list[object] = []

    def tell(line: object) -> None:
        told.append(line)
        if len(told) == 4:
            raise StorageFailure("the disk is full")

    with pytest.raises(StorageFailure):
        run_audit(
            records(tmp_path), Photos(arguments=[str(photos)]), Terms(), tmp_path / "out", by="ann", tell=tell
        )
    assert not (tmp_path / "out" / "verdicts.jsonl").exists(), "no half file"
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    assert [entry.kind for entry in Journal(ledger).read() if entry.kind.startswith("audit")] == [
        *("audit.begun", "audit.lines", "audit.lines")
    ]
    assert prove(ledger).broken is None
    ledger.close()


def test_it_says_how_many_bins_keep_the_task_of_an_earlier_audit(
    tmp_path: Path, run: Run, places: dict[str, str]
) -> None:
    counts, probs = tmp_path / "counts.jsonl", [0.01, 0.97, *[0.02 / 19] * 19]
    counts.write_text("".join(json.dumps({"photo": f"A-{n}.jpg", "probs": probs}) + "\n" for n in (1, 2)))
    said = []
    for name in ("first", "second"):
        result = run(a_file(tmp_path, "A-1,9", "A-2,9"), "--estimates", counts, "--tasks", "--out", tmp_path / name)
        said.append([line for line in result.stdout.splitlines() if "task" in line])
        ledger = Ledger.open(places["BINSIGHT_LEDGER"])
        ben = a_user(ledger, f"ben {name}")
        count(ledger, claim(ledger, ben).token, 1, ben)
        ledger.close()
    assert said == [
        ["2 tasks given out; binsight serve shows them to those who count"],
        [
            "1 tasks given out; binsight serve shows them to those who count",
            "1 bins wait since an earlier audit already, and keep the task that they have",
        ],
    ]


def test_an_audit_that_is_cut_off_before_its_tasks_is_made_up_for_by_the_next(
    tmp_path: Path, run: Run, places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, probs = tmp_path / "counts.jsonl", [0.01, 0.97, *[0.02 / 19] * 19]
    counts.write_text("".join(json.dumps({"photo": f"A-{n}.jpg", "probs": probs}) + "\n" for n in (1, 2)))

    def cut_off(*_: object) -> int:
        raise StorageFailure("the disk is full")

    arguments = (a_file(tmp_path, "A-1,9", "A-2,9"), "--estimates", counts, "--tasks", "--out", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("binsight.audit.keep.Keeper.give_out", cut_off)
        assert run(*arguments).exit_code != 0
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    assert TaskRows(ledger).tally() == {}
    assert run(*arguments).exit_code == 0
    assert TaskRows(ledger).tally() == {"count": 2}
    ledger.close()


def test_no_cell_of_what_goes_out_is_a_formula(tmp_path: Path, run: Run) -> None:
    counts = tmp_path / "counts.jsonl"
    counts.write_text(json.dumps({"photo": "=1+1.jpg", "probs": [0.01, 0.97, *[0.02 / 19] * 19]}) + "\n")
    out = tmp_path / "out"
    result = run(a_file(tmp_path, "=1+1,9"), "--estimates", counts, "--out", out)
    assert result.exit_code == 0, result.output
    for file in out.glob("*.csv"):
        with file.open(newline="") as rows:
            for row in csv.reader(rows):
                assert not any(cell.startswith("=") for cell in row), f"{file.name}: {row}"
    assert "'=1+1" in (out / "exceptions.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "an audit needs photos, or --estimates of them"),
        (("PHOTOS", "--alpha", "0.2"), "--alpha must be one that the model is certified at, 0.01 or 0.05"),
        (("PHOTOS", "--error-rate", "0"), "`0 < rate < 1` must hold"),
        (("PHOTOS", "--count-cost", "0"), "`0 < count` must hold"),
        (("PHOTOS", "--mapping", "saap"), "saap is neither a mapping"),
        (("nowhere",), "nowhere"),
    ],
)
def test_what_is_asked_wrongly_is_explained(
    tmp_path: Path, photos: Path, run: Run, arguments: tuple[str, ...], says: str
) -> None:
    given = [str(photos) if argument == "PHOTOS" else argument for argument in arguments]
    result = run(records(tmp_path), *given, "--out", tmp_path / "out")
    assert isinstance(result.exception, BinsightError)
    assert says in str(result.exception)
    assert not (tmp_path / "out" / "index.html").exists()


def test_a_label_that_names_another_bin_is_an_exception(tmp_path: Path, run: Run, abid: Path) -> None:
    with (abid / "labels.csv").open(newline="") as file:
        label_of = {row["image_id"]: row["bin_label"] for row in csv.DictReader(file) if row["bin_label"]}
    names = [name for name in sorted(label_of) if (abid / "originals" / f"{name}.jpg").exists()][:3]
    photos = [abid / "originals" / f"{name}.jpg" for name in names]
    by_label = a_file(tmp_path, *(f"{label_of[name]},1" for name in names))
    found = run(by_label, *photos, "--by-label", "--out", tmp_path / "a", "--json")
    assert [Path(str(line["photo"])).stem for line in lines_of(found)] == names
    by_name = a_file(tmp_path, *(f"{name},1" for name in names))
    wrong = run(by_name, *photos, "--check-labels", "--out", tmp_path / "b", "--json")
    assert {line["exception"] for line in lines_of(wrong)} == {"wrong_bin"}
