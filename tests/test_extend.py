"""A dataset that extends another where the source lacks photos of it: nothing is lost unsaid, no bin changes its split."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.prepare_support import CHAINS, drawn_source, real_source, run, write_photo, write_record

from binsight.cli.data_prepare import prepare as command
from binsight.dataset.manifest import Dataset
from binsight.dataset.split import parse_shares
from binsight.errors import BadInput


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Sixty photos, two to a chain, and a dataset of them named `before`."""
    folder = drawn_source(tmp_path / "source", CHAINS)
    run(folder, tmp_path / "before", seed=5)
    return folder


def rejects(dataset: Path) -> dict[str, set[str]]:
    """Photos by reason."""
    found: dict[str, set[str]] = {}
    with (dataset / "rejects.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["reason"], set()).add(row["photo"])
    return found


def bins_of(dataset: Path, split: str) -> list[str]:
    """The first photo of each chain of a split, whose other photo has the next number."""
    return sorted({photo.group for photo in Dataset.open(dataset).select(split)})  # type: ignore[arg-type]


def take_away(source: Path, *photos: str, records: bool = True) -> None:
    for photo in photos:
        (source / "bin-images" / f"{photo}.jpg").unlink()
        if records:
            (source / "metadata" / f"{photo}.json").unlink()


def test_photos_that_the_source_lacks_are_refused_by_number_and_name(source: Path, tmp_path: Path) -> None:
    take_away(source, "00002", "00010", "00011", "00020")
    with pytest.raises(
        BadInput, match=r"lacks 4 of the 60 of .*before \(00002, 00010, 00011, …\).*--on-gone reject"
    ):
        run(source, tmp_path / "after", extend=tmp_path / "before")
    assert not (tmp_path / "after").exists()


def test_new_photos_alone_are_no_extension(source: Path, tmp_path: Path) -> None:
    """Who lays only the new photos down would get a dataset of these alone, and believe it larger."""
    fresh = drawn_source(tmp_path / "fresh", {"00900": ("fresh",)})
    with pytest.raises(BadInput, match="lacks 60 of the 60"):
        run(fresh, tmp_path / "after", extend=tmp_path / "before")


def test_photos_left_out_on_purpose_are_rejects_and_a_note(source: Path, tmp_path: Path) -> None:
    train, test = bins_of(tmp_path / "before", "train")[0], bins_of(tmp_path / "before", "test")[0]
    take_away(source, train, test)
    args = [str(source), str(tmp_path / "after"), "--extend", str(tmp_path / "before"), "--on-gone", "reject"]
    said = CliRunner().invoke(command, [*args, "--jobs", "1"], catch_exceptions=False)
    assert "rejected: 2 gone" in said.stdout
    assert (
        "2 photos of the dataset that is extended are not in the source and are left out (1 of train, 1 of test)"
        in (said.stderr)
    )
    assert "the records of 2 are not there either" in said.stderr
    assert rejects(tmp_path / "after") == {"gone": {train, test}}
    assert len(Dataset.open(tmp_path / "after").photos) == 58


def splits(dataset: Path) -> dict[str, str]:
    return {photo.photo: photo.split for photo in Dataset.open(dataset).photos}


def test_a_bin_that_judged_never_trains_though_its_photos_are_gone(source: Path, tmp_path: Path) -> None:
    """New photos of it are known by the item of the record, which is left, and by the old picture."""
    judged = [photo.photo for photo in Dataset.open(tmp_path / "before").select("test")]
    picture = (source / "bin-images" / f"{judged[-1]}.jpg").read_bytes()
    take_away(source, *judged)
    write_record(source, judged[0], CHAINS[judged[0]])
    more = {f"{n:05}": CHAINS[judged[0]] for n in range(900, 910)} | {"00950": ("other",)}
    drawn_source(source, more)
    (source / "bin-images" / "00950.jpg").write_bytes(picture)
    for seed in range(4):
        run(source, tmp_path / f"after{seed}", extend=tmp_path / "before", on_gone="reject", seed=seed)
        after = splits(tmp_path / f"after{seed}")
        assert {after[photo] for photo in more} == {"test"}


def test_a_photo_beside_one_whose_record_is_gone_cannot_be_told_apart_from_it(tmp_path: Path) -> None:
    folder = drawn_source(tmp_path / "source", {f"{n:05}": (f"item{n}",) for n in range(10, 100, 3)})
    run(folder, tmp_path / "before")
    judged = [photo.photo for photo in Dataset.open(tmp_path / "before").select("test")]
    take_away(folder, *judged)
    more = {f"{int(photo) + 1:05}": (f"item{int(photo) + 1}",) for photo in judged}
    drawn_source(folder, more)
    run(folder, tmp_path / "after", extend=tmp_path / "before", on_gone="reject")
    after = splits(tmp_path / "after")
    assert judged and {after[photo] for photo in more} == {"test"}


def test_a_group_of_the_labels_keeps_its_split_though_its_photos_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    rows = {f"{n:05}": f"bin {n % 20}" for n in range(40)}
    for photo in rows:
        write_photo(folder / f"{photo}.jpg", seed=int(photo))
    run(folder, tmp_path / "before", labels_of(tmp_path / "first.csv", rows), seed=5)
    was = {photo.group: photo.split for photo in Dataset.open(tmp_path / "before").photos}
    shutil.rmtree(folder)
    new = {f"{n + 500:05}": f"bin {n % 20}" for n in range(20)}
    for photo in new:
        write_photo(folder / f"{photo}.jpg", seed=int(photo))
    labels = labels_of(tmp_path / "second.csv", new)
    run(folder, tmp_path / "after", labels, extend=tmp_path / "before", on_gone="reject", seed=6)
    assert splits(tmp_path / "after") == {photo: was[group] for photo, group in new.items()}
    assert len(set(was.values())) == 3


def labels_of(path: Path, groups: dict[str, str]) -> Path:
    path.write_text("photo,count,group\n" + "".join(f"{photo},1,{group}\n" for photo, group in groups.items()))
    return path


def test_a_photo_that_cannot_be_read_any_more_still_holds_its_bin(source: Path, tmp_path: Path) -> None:
    judged = [photo.photo for photo in Dataset.open(tmp_path / "before").select("test")]
    for photo in judged:
        (source / "bin-images" / f"{photo}.jpg").write_bytes(b"no photo")
    more = {f"{900 + n:05}": CHAINS[photo] for n, photo in enumerate(judged)}
    drawn_source(source, more)
    run(source, tmp_path / "after", extend=tmp_path / "before", seed=6)
    after = splits(tmp_path / "after")
    assert {after[photo] for photo in more} == {"test"}
    assert rejects(tmp_path / "after") == {"format": set(judged)}


def test_what_records_told_apart_stays_apart_though_one_is_gone(source: Path, tmp_path: Path) -> None:
    """Neighbours of other splits are no leak: their records told them apart when the dataset was made."""
    before = splits(tmp_path / "before")
    gone = next(
        photo for photo in list(CHAINS)[1::2] if before.get(f"{int(photo) + 1:05}", before[photo]) != before[photo]
    )
    take_away(source, gone)
    run(source, tmp_path / "after", extend=tmp_path / "before", on_gone="reject")
    assert splits(tmp_path / "after") == {photo: split for photo, split in before.items() if photo != gone}


def test_real_photos_that_share_an_item_with_gone_ones_are_in_their_split(abid: Path, tmp_path: Path) -> None:
    """Every second photo is gone, and its record still there; looked up in the records themselves."""
    ids = [f"{n:05}" for n in range(1, 151)]
    folder = real_source(abid, tmp_path / "odd", ids[::2])
    run(folder, tmp_path / "before")
    shutil.rmtree(folder / "bin-images")
    records = {path.stem: path for path in (folder / "metadata").glob("*.json")}
    shutil.copytree(real_source(abid, tmp_path / "even", ids[1::2]), folder, dirs_exist_ok=True)
    run(folder, tmp_path / "after", extend=tmp_path / "before", on_gone="reject")
    before, after = splits(tmp_path / "before"), splits(tmp_path / "after")
    assert after and not before.keys() & after.keys()
    num_shared = 0
    for old, split in before.items():
        items = items_of(records[old])
        shared = [new for new in after if items & items_of(folder / "metadata" / f"{new}.json")]
        assert {after[new] for new in shared} <= {split}
        num_shared += len(shared)
    assert num_shared > 20


def items_of(record: Path) -> set[str]:
    return set(json.loads(record.read_bytes())["BIN_FCSKU_DATA"])


def test_notes_say_why_shares_are_off_where_bins_stay_where_they_were(source: Path, tmp_path: Path) -> None:
    drawn_source(source, {"00900": ("fresh",)})
    extended = run(source, tmp_path / "after", extend=tmp_path / "before", shares=parse_shares("10/45/45"))
    notes = extended.summary["notes"]
    assert notes and all("bins of the dataset that is extended stay where they are" in note for note in notes)
    anew = run(source, tmp_path / "anew", shares=parse_shares("1/1/98"), seed=3)
    assert not any("extended" in note for note in anew.summary["notes"])


def test_no_note_says_that_a_chain_of_one_ties_photos_together(tmp_path: Path) -> None:
    folder = drawn_source(tmp_path / "source", {f"{n:05}": (f"item{n}",) for n in range(1, 5)})
    assert not any("ties" in note for note in run(folder, tmp_path / "bins").summary["notes"])
    tied = drawn_source(tmp_path / "tied", {f"{n:05}": (f"item{n // 2}",) for n in range(4)})
    assert any("ties 2 of 4 photos" in note for note in run(tied, tmp_path / "two").summary["notes"])
