"""Looks at a promotion set are one budget, whether they are spent here or by jobs on AWS, and whatever is killed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.aws_support import Cloud, deployment, running_bucket

from binsight.engines.container.looks import look_of, spent
from binsight.engines.sagemaker.looks import give_looks, take_looks
from binsight.errors import BadInput
from binsight.storage.ledger import Ledger, Promotions
from binsight.storage.objects import Objects, open_store

D = deployment()
SET = "a" * 64


@pytest.fixture(scope="module")
def server() -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch, running_bucket(patch) as made:
        yield made


@pytest.fixture(autouse=True)
def cloud(server: Cloud) -> Cloud:
    server.reset()
    return server


@pytest.fixture
def promotions(places: dict[str, str]) -> Iterator[Promotions]:
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    found = Promotions(ledger)
    found.freeze("set", sha256=SET, dataset_sha256="d", split="test", photos=["1"], by="ann")
    yield found
    ledger.close()


def spend_here(promotions: Promotions, *challengers: str, most: int = 10) -> list[int | None]:
    return [promotions.look(SET, "first", one, most=most, by="ann") for one in challengers]


def spend_there(*challengers: str, most: int = 10) -> list[int | None]:
    """As the evaluation job does."""
    look = look_of(D.s3("looks"), SET, most=most)
    return [look("first", one) for one in challengers]


def in_the_bucket() -> list[tuple[str, str]]:
    return spent(open_store(D.s3("looks", SET)))


def pairs(*challengers: str) -> set[tuple[str, str]]:
    return {("first", one) for one in challengers}


def test_what_was_spent_here_is_spent_there_and_the_other_way_round(promotions: Promotions) -> None:
    assert spend_there("t1") == [1]
    assert spend_here(promotions, "h1", "h2") == [1, 2]
    give_looks(D, SET, promotions)
    assert set(in_the_bucket()) == pairs("t1", "h1", "h2")
    assert spend_there("t2", "h1") == [4, 2], "the next is the fourth, and a pair of here costs nothing there"
    take_looks(D, promotions, by="ann")
    assert set(promotions.looks(SET)) == pairs("h1", "h2", "t1", "t2") and promotions.num_looks(SET) == 4
    before = in_the_bucket()
    for _ in range(2):
        give_looks(D, SET, promotions)
        take_looks(D, promotions, by="ann")
    assert in_the_bucket() == before and promotions.num_looks(SET) == 4


def test_a_set_that_is_worn_out_here_judges_nobody_there(promotions: Promotions) -> None:
    spend_here(promotions, *"abc", most=3)
    give_looks(D, SET, promotions)
    assert spend_there("new", "b", most=3) == [None, 2]


def test_a_set_that_is_worn_out_there_judges_nobody_here(promotions: Promotions) -> None:
    spend_there(*"abc", most=3)
    take_looks(D, promotions, by="ann")
    assert spend_here(promotions, "new", most=3) == [None]


def test_more_than_the_budget_is_told_too(promotions: Promotions) -> None:
    """Both ended their budget before they knew of each other: nothing of that is forgotten."""
    spend_here(promotions, *"abc", most=3)
    spend_there(*"xyz", most=3)
    give_looks(D, SET, promotions)
    take_looks(D, promotions, by="ann")
    assert set(in_the_bucket()) == set(promotions.looks(SET)) == pairs(*"abcxyz")


class Killed(BaseException): ...


@pytest.mark.parametrize("after", range(5))
def test_killed_after_any_write_nothing_is_lost_and_the_next_run_completes_it(
    promotions: Promotions, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    spend_here(promotions, "h1", "h2", "h3")
    spend_there("t1", "t2")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        for kind, name in ((Objects, "add"), (Promotions, "look")):
            patch.setattr(kind, name, killing(getattr(kind, name), after))
        give_looks(D, SET, promotions)
        take_looks(D, promotions, by="ann")
        raise Killed  # with more writes than it takes
    assert set(in_the_bucket()) >= pairs("t1", "t2") and set(promotions.looks(SET)) >= pairs("h1", "h2", "h3")
    give_looks(D, SET, promotions)
    take_looks(D, promotions, by="ann")
    assert set(in_the_bucket()) == set(promotions.looks(SET)) == pairs("h1", "h2", "h3", "t1", "t2")
    assert promotions.num_looks(SET) == len(in_the_bucket()) == 5


def killing(write: Any, after: int) -> Any:
    """The write itself, and death when it was done once more than so often."""
    done = 0

    def act(*given: Any, **named: Any) -> Any:
        nonlocal done
        answer = write(*given, **named)
        done += 1
        if done > after:
            raise Killed
        return answer

    return act


def test_jobs_and_here_at_one_moment_lose_no_look(promotions: Promotions) -> None:
    spend_here(promotions, *(f"h{number}" for number in range(5)))
    with ThreadPoolExecutor(6) as pool:
        given = [pool.submit(give_looks, D, SET, promotions) for _ in range(2)]
        jobs = [pool.submit(spend_there, f"t{number}", most=50) for number in range(4)]
        for one in (*given, *jobs):
            one.result()
    found = in_the_bucket()
    assert len(found) == len(set(found)) == 9


def test_what_is_no_look_is_named(promotions: Promotions) -> None:
    open_store(D.s3("looks", SET)).write("01.json", b"{}")
    with pytest.raises(BadInput, match=r"/01\.json is no look at a promotion set"):
        take_looks(D, promotions, by="ann")
