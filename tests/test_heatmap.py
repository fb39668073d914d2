"""`binsight count --heatmap`: where the model looked, drawn and said no louder than it is."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from binsight.cli import cli
from binsight.counting import Bundle, Counter, default_bundle
from binsight.counting.bundle import BundleSpec
from binsight.counting.counter import BATCH_SIZE
from binsight.counting.heatmap import STEPS, items_moved, occlusion_map
from binsight.counting.heatmap_files import MOST_LETTERS, count_with_heatmaps, heatmap_name, write_heatmap
from binsight.counting.heatmap_picture import LEAST_CHANGE, MEANING, caption_lines, draw_heatmap, lay_over
from binsight.errors import BadInput, StorageFailure
from binsight.imaging import Preprocessing
from binsight.imaging.drawn import drawn_photo
from binsight.records import CountEstimate, CountFailure

SIZE = 64


class Watching:
    """A network that sees how rough a part of its input is: the rougher, the surer of the last of three counts."""

    def __init__(self, rows: slice, columns: slice) -> None:
        self.rows, self.columns = rows, columns
        self.batches: list[int] = []

    def run(self, names: None, inputs: dict[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        images_BCHW = inputs["images"]
        self.batches.append(len(images_BCHW))
        rough_B = np.square(images_BCHW[:, :, self.rows, self.columns]).mean(axis=(1, 2, 3))
        logits_BK = rough_B[:, None] * np.array([0, 0, 3])
        return [(logits_BK - np.log(np.exp(logits_BK).sum(axis=1, keepdims=True))).astype(np.float32)]


def spec_of(fit: str, files: dict[str, str]) -> BundleSpec:
    preprocessing = Preprocessing(size=SIZE, fit=fit, mean=(0.5,) * 3, std=(0.5,) * 3)  # type: ignore[arg-type]
    return BundleSpec(
        name="tiny", num_counts=3, preprocessing=preprocessing, temperature=1, lineage={}, figures={}, files=files
    )


def counter_of(session: Any, fit: str = "squash") -> Counter:
    return Counter(Bundle(folder=Path("tiny"), spec=spec_of(fit, {}), version="0"), session, threads=1)


def rough_photo(width: int, height: int) -> Image.Image:
    """Rough all over at the network's size, so that a cover changes the pixels wherever it lies."""
    blocks = np.random.default_rng(0).integers(0, 2, (height // 8, width // 8, 1), dtype=np.uint8) * 255
    return Image.fromarray(np.repeat(blocks, 3, axis=2)).resize((width, height), Image.Resampling.NEAREST)


def estimate(*probs: float) -> CountEstimate:
    return CountEstimate(photo="a.jpg", probs=probs)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle made without this package's export: an ONNX network that sees how rough its whole input is."""
    nodes = [
        helper.make_node("Mul", ["images", "images"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "axes"], ["rough"], keepdims=0),
        helper.make_node("Unsqueeze", ["rough", "last"], ["rough_B1"]),
        helper.make_node("Mul", ["rough_B1", "weights"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["log_probs"], axis=1),
    ]
    constants = {"axes": np.array([1, 2, 3]), "last": np.array([1]), "weights": np.array([[0, 0, 3]], np.float32)}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["B", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["B", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    folder = tmp_path_factory.mktemp("tiny")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    spec = spec_of("letterbox", {"model.onnx": sha256((folder / "model.onnx").read_bytes()).hexdigest()})
    (folder / "bundle.json").write_text(spec.model_dump_json())
    return folder


@pytest.fixture
def counter(tiny: Path) -> Counter:
    return Counter.load(tiny, threads=1)


@pytest.fixture
def run_count(tiny: Path) -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(cli, ["count", "--model", str(tiny), *map(str, arguments)])


# The map


@pytest.mark.parametrize(
    ("fit", "size", "rows", "columns"),
    [
        ("squash", (400, 200), slice(0, 8), slice(0, 8)),
        ("squash", (200, 400), slice(0, 8), slice(0, 8)),
        ("letterbox", (400, 200), slice(16, 24), slice(0, 8)),  # the photo lies in rows 16 to 48
        ("letterbox", (200, 400), slice(0, 8), slice(16, 24)),
    ],
)
def test_a_network_that_looks_at_one_corner_lights_up_that_corner_and_nothing_else(
    fit: str, size: tuple[int, int], rows: slice, columns: slice
) -> None:
    map_RC = occlusion_map(counter_of(Watching(rows, columns), fit), rough_photo(*size))
    assert map_RC[:2, :2].max() == map_RC.max() > 0.05
    reached = 3  # covers that touch a corner of 8 pixels, one of them every 6.4
    assert map_RC[reached:].max() == map_RC[:, reached:].max() == 0
    # On the photo as it is drawn, too: over its grey there is colour in that corner alone.
    photo = rough_photo(*size)
    coloured_HW = np.ptp(np.asarray(lay_over(photo, map_RC)).astype(int), axis=2) > 20
    found_rows, found_columns = np.nonzero(coloured_HW)
    assert coloured_HW[:10, :10].all()
    assert found_rows.max() < 0.4 * photo.height and found_columns.max() < 0.4 * photo.width


def test_the_far_corner_is_where_it_is() -> None:
    map_RC = occlusion_map(counter_of(Watching(slice(40, 48), slice(56, 64)), "letterbox"), rough_photo(400, 200))
    assert map_RC[-2:, -2:].max() == map_RC.max() > 0.05
    assert map_RC[:-3].max() == map_RC[:, :-3].max() == 0


def test_the_map_spans_the_photo_in_its_own_proportions() -> None:
    session = Watching(slice(0, 8), slice(0, 8))
    assert occlusion_map(counter_of(session, "squash"), rough_photo(400, 200)).shape == (STEPS + 1, STEPS + 1)
    assert occlusion_map(counter_of(session, "letterbox"), rough_photo(400, 200)).shape == (
        STEPS // 2 + 1,
        STEPS + 1,
    )
    assert occlusion_map(counter_of(session, "letterbox"), rough_photo(800, 16)).shape == (3, STEPS + 1)


def test_no_more_than_a_batch_goes_through_the_network_at_a_time() -> None:
    session = Watching(slice(0, 8), slice(0, 8))
    occlusion_map(counter_of(session), rough_photo(64, 64))
    assert max(session.batches) == BATCH_SIZE
    assert sum(session.batches) == 1 + (STEPS + 1) ** 2


def test_how_far_an_estimate_moves_is_in_items() -> None:
    plain = np.array([0, 1.0, 0, 0])
    moved = items_moved(plain, np.array([[0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0.5, 0, 0.5, 0]]))
    assert moved.tolist() == [0, 2, 1, 1]


# The picture


def test_the_map_of_a_network_that_looks_nowhere_is_flat_and_drawn_as_nothing() -> None:
    nowhere = Watching(slice(0, 8), slice(0, 8))
    photo = Image.new("RGB", (300, 200), (200, 150, 40))
    map_RC = occlusion_map(counter_of(nowhere), photo)  # its blur is what it was
    assert map_RC.max() == 0
    assert np.ptp(np.asarray(lay_over(photo, map_RC)), axis=2).max() == 0
    assert caption_lines(map_RC, estimate(0.2, 0.7, 0.1))[1] == MEANING[1]


def test_a_change_too_small_to_matter_is_not_scaled_up() -> None:
    noise = np.random.default_rng(0).uniform(0, LEAST_CHANGE / 2, (5, 5))
    assert np.ptp(np.asarray(lay_over(rough_photo(80, 80), noise)), axis=2).max() == 0


def test_the_caption_says_count_interval_and_that_it_proves_nothing() -> None:
    first, second = caption_lines(np.ones((3, 3)), estimate(0.02, 0.9, 0.05, 0.03))
    assert first == "count 1, 90% interval 1 to 2"
    assert second == ("Where the model looked: covering these parts changes its answer; no proof of items there.")
    assert caption_lines(np.ones((3, 3)), estimate(0, 0, 1.0))[0] == "count 2+, 90% interval 2+"


@pytest.mark.parametrize("size", [(500, 375), (60, 60), (40, 400), (400, 40)])
def test_photo_map_and_caption_fit_whatever_the_photos_shape(size: tuple[int, int]) -> None:
    picture = draw_heatmap(rough_photo(*size), np.eye(4), estimate(0, 1.0, 0))
    below = np.asarray(picture.convert("L"))[-60:]
    assert below.min() < 80, "no caption"
    assert (np.asarray(picture)[:, -4:] == 255).all(), "something runs over the right edge"


# Files


def test_a_photos_name_gives_a_safe_name_that_no_other_photo_has() -> None:
    names = [
        "a/1.jpg",
        "b/1.jpg",
        "a/1.png",
        "s3://bins/2026/07/1.jpg",
        "../../etc/passwd",
        "r/.jpg",
        "bin 7 é?.jpg",
    ]
    found = [heatmap_name(name) for name in names]
    assert len(set(found)) == len(names)
    assert all(name.isascii() and not set(name) & set("/\\:? ") and not name.startswith(".") for name in found)
    assert found[0].startswith("1-") and found[0].endswith(".jpg")
    assert heatmap_name("a/1.jpg") == found[0]
    assert len(heatmap_name("x" * 5000)) <= MOST_LETTERS + 13


def test_a_real_photo_gets_its_picture_with_the_caption(abid: Path, tmp_path: Path) -> None:
    counter = Counter.load(default_bundle(), threads=1)
    photo = sorted((abid / "originals").iterdir())[0]
    ((result, path),) = count_with_heatmaps(counter, [(str(photo), photo.read_bytes)], tmp_path / "deep" / "maps")
    assert isinstance(result, CountEstimate) and path is not None
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "JPEG" and picture.width > picture.height
        comment = picture.info["comment"].decode()
    assert comment.startswith(f"count {result.count}, 90% interval")
    assert MEANING[0] in comment
    assert [other.name for other in path.parent.iterdir()] == [path.name], "a half-written file is left behind"


def test_a_photo_that_goes_away_between_counting_and_drawing_fails_alone(counter: Counter, tmp_path: Path) -> None:
    reads = [drawn_photo(1, seed=1), b"gone"]
    ((result, path),) = count_with_heatmaps(counter, [("a.jpg", lambda: reads.pop(0))], tmp_path)
    assert isinstance(result, CountFailure) and path is None
    assert "a.jpg is not a JPEG" in result.error


def test_a_disk_that_fails_is_one_sentence_and_no_half_picture(
    counter: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:4])
        raise OSError(28, "No space left on device")

    photo, counted = drawn_photo(1, seed=1), estimate(0.5, 0.3, 0.2)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageFailure, match=r"could not be written \(No space left on device\); free space"):
        write_heatmap(counter, photo, counted, tmp_path)
    assert list(tmp_path.iterdir()) == []


# The command


def test_a_json_line_names_the_picture_only_where_one_was_asked_for(
    run_count: Callable[..., Result], tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").write_bytes(drawn_photo(2, seed=2))
    (tmp_path / "torn.jpg").write_bytes(drawn_photo(1, seed=1)[:3000])
    maps = tmp_path / "maps"
    photos = [tmp_path / name for name in ("a/1.jpg", "torn.jpg", "b/1.jpg")]
    plain = run_count(*photos, "--json")
    done = run_count(*photos, "--json", "--heatmap", maps)
    assert plain.exit_code == done.exit_code == 1
    lines, plain_lines = ([json.loads(line) for line in result.stdout.splitlines()] for result in (done, plain))
    assert [list(line) for line in lines] == [
        ["photo", "count", "probs", "interval", "bin_label", "flags", "heatmap"],
        ["photo", "error"],
        ["photo", "count", "probs", "interval", "bin_label", "flags", "heatmap"],
    ]
    pictures = [line.pop("heatmap") for line in lines if "heatmap" in line]
    assert lines == plain_lines
    assert sorted(pictures) == sorted(map(str, maps.iterdir())) and len(pictures) == 2


def test_the_table_ends_with_where_the_pictures_are(run_count: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(small_png())
    done = run_count(tmp_path / "1.png", "--heatmap", tmp_path / "maps")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"where the model looked: {tmp_path / 'maps'}"


def small_png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "grey").save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_is_a_file_is_one_sentence(
    run_count: Callable[..., Result], tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("years of work")
    (tmp_path / "1.png").write_bytes(small_png())
    done = run_count(tmp_path / "1.png", "--heatmap", tmp_path / name)
    assert isinstance(done.exception, BadInput)
    assert "must be a folder, but a file is in its way" in str(done.exception)
    assert (tmp_path / "file").read_text() == "years of work"


def test_drawing_heat_maps_loads_no_library_beyond_those_of_counting(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(small_png())
    arguments = ["count", "--model", str(tiny), str(tmp_path / "1.png"), "--heatmap", str(tmp_path / "maps")]
    code = (
        "import sys; from click.testing import CliRunner; from binsight.cli import cli; "
        f"assert CliRunner().invoke(cli, {arguments}).exit_code == 0; "
        "print([m for m in ('torch', 'timm', 'pyarrow', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert ended.stdout.strip() == "[]"
