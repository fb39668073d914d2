"""A little of what `python -m bench.fuzz` does much of, and what it is judged by; the soak's judgement too."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bench.fuzz import seeds, targets
from bench.fuzz.guided import Progress
from bench.fuzz.shape import wrong
from bench.fuzz.wire import answers, broken
from bench.soak import Found, growth, memory_mib, verdict
from bench.soak_mix import kinds

from binsight.errors import BadPhoto
from binsight.imaging.drawn import drawn_photo

ERROR = json.dumps({"error": {"code": "a", "message": "b", "mend": "c", "request_id": "d"}}).encode()


def damaged(data: bytes, chance: random.Random) -> bytes:
    """With some bytes changed, mostly in the head, a part put in twice, or the end cut off."""
    changed = bytearray(data)
    for _ in range(chance.randint(0, 6)):
        reach = len(changed) if chance.random() < 0.4 else min(len(changed), 80)
        changed[chance.randrange(reach)] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
    if chance.random() < 0.2:
        start = chance.randrange(len(changed))
        changed[start:start] = changed[start : start + chance.randint(1, 60)]
    return bytes(changed[: chance.randint(1, len(changed))] if chance.random() < 0.3 else changed)


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # Starlette leaves the part of a bad form that it was at unclosed
@pytest.mark.parametrize(("name", "num"), [("photos", 400), ("bodies", 1500)])
def test_damaged_input_raises_nothing_but_what_says_what_is_wrong_with_it(name: str, num: int) -> None:
    chance, first = random.Random(5), list(seeds.photos() if name == "photos" else seeds.bodies())
    for data in first + [damaged(chance.choice(first), chance) for _ in range(num)]:
        targets.TARGETS[name](data)


def test_the_seeds_are_usable_or_refused_for_a_reason() -> None:
    reasons = Counter[str]()
    for data in seeds.photos():
        try:
            targets.decode_photo(data)
            reasons["good"] += 1
        except BadPhoto as error:
            reasons[error.reason] += 1
    assert reasons == {"good": 25, "animated": 2}


def test_a_fault_of_the_code_or_of_memory_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(error: Exception) -> Any:
        def decode(*_args: Any, **_options: Any) -> None:
            try:
                raise error
            except MemoryError:
                raise BadPhoto("cut off; fetch it again", reason="truncated") from None

        return decode

    for error, seen in ((KeyError("x"), KeyError), (MemoryError(), targets.MemoryExceeded)):
        monkeypatch.setattr(targets, "decode_photo", failing(error))
        with pytest.raises(seen):
            targets.photo(drawn_photo(1, seed=1))


@pytest.mark.parametrize(
    ("status", "body", "is_v2", "is_right"),
    [
        (200, b"anything", False, True),
        (404, ERROR, False, True),
        (404, b'{"error": "no such model"}', True, True),
        (404, b'{"error": "no such model"}', False, False),
        (422, b'{"detail": []}', False, False),
        (503, b"Service Unavailable", False, False),
        (500, ERROR, False, False),
        (0, b"", False, False),
    ],
)
def test_an_answer_is_judged_by_its_status_and_shape(status: int, body: bytes, is_v2: bool, is_right: bool) -> None:
    assert (wrong(status, body, is_v2=is_v2) is None) is is_right


def test_answers_are_told_apart_and_one_that_is_cut_off_is_left_out() -> None:
    one = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: y\r\n\r\nhi"
    assert answers(one + one + one[:-1]) == [(200, b"hi"), (200, b"hi")]
    assert answers(b"") == []


def test_broken_requests_are_the_same_again_with_the_same_seed() -> None:
    first, again = (
        [broken(b"GET /ping HTTP/1.1\r\nHost: bin\r\n\r\n", random.Random(seed)) for seed in range(50)]
        for _ in "ab"
    )
    assert first == again
    assert len(set(first)) > 30


def test_what_was_run_is_counted_on(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    assert Progress.of(path) == Progress()
    Progress(cases=7, seconds=1.5, failures=1).write(path)
    assert Progress.of(path) == Progress(cases=7, seconds=1.5, failures=1)


def soaked(percent_an_hour: float) -> Found:
    """Half an hour of looks at memory that grows so fast, with a photo in work now and then."""
    found, chance = Found(), random.Random(1)
    for look in range(900):
        found.seconds.append(2.0 * look)
        grown = 400 * (1 + percent_an_hour / 100 * 2 * look / 3600)
        found.mib.append(grown + chance.gauss(0, 0.1) + (200 if chance.random() < 0.1 else 0))
    return found


@pytest.mark.parametrize(("percent", "met"), [(0.0, True), (0.8, True), (1.3, False)])
def test_growth_is_found_beneath_the_peaks_of_photos_in_work(percent: float, met: bool) -> None:
    found = soaked(percent)
    value, low, high = growth(found.seconds, found.mib)
    assert value == pytest.approx(percent, abs=0.15)
    assert low <= value <= high
    assert verdict(found, 0)["met"] is met


def test_one_wrong_answer_or_one_traceback_misses_the_goal() -> None:
    assert not verdict(soaked(0), 1)["met"]
    found = soaked(0)
    found.wrong["photo: 500"] += 1
    assert not verdict(found, 0)["met"]


def test_memory_of_children_counts_too() -> None:
    before = memory_mib(os.getpid())
    code = "x = b'x' * 50_000_000; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert memory_mib(os.getpid()) > before + 45
        child.communicate(b"\n")


def test_the_mix_names_what_each_kind_may_be_answered() -> None:
    mix = kinds([drawn_photo(n, seed=n) for n in range(4)])
    assert len({kind.name for kind in mix}) == len(mix)
    assert all(kind.requests and 500 not in kind.statuses for kind in mix)
