"""What became of pipelines comes home: looks, decisions, challengers, the alias, once each, whatever is killed or races."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.aws_pipelines import FIRST, REASON, SET, Pipelines
from tests.aws_support import NOW, Cloud, deployment, running_bucket
from tests.bundle_support import changed_bundle

from binsight.counting.bundle import Bundle
from binsight.counting.registry import Registry
from binsight.engines.sagemaker import executions
from binsight.engines.sagemaker.apply import deploy
from binsight.engines.sagemaker.homecoming import Home, bring_home
from binsight.engines.sagemaker.plan import Plan, make_plan
from binsight.errors import BadBundle, BadInput
from binsight.records import CHAMPION
from binsight.storage.ledger import DriftEpisodes, Ledger, Promotions, Retrainings
from binsight.storage.objects import open_store

D = deployment()


@pytest.fixture(scope="module")
def server() -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch, running_bucket(patch) as made:
        deploy(D, made.aws(), pace=NOW)
        yield made


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(D)


@pytest.fixture
def pipelines(server: Cloud, plan: Plan, places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Pipelines:
    """An endpoint that answers with the champion, and a bucket in which nothing ran yet."""
    server.as_deployed(plan)
    return Pipelines(server, monkeypatch, D)


@pytest.fixture
def home(pipelines: Pipelines, registry: Registry) -> Iterator[Home]:
    ledger = registry.models.ledger
    Promotions(ledger).freeze("set", sha256=SET, dataset_sha256="d", split="test", photos=["1"], by="ann")
    yield Home(d=D, aws=pipelines, registry=registry, ledger=ledger, by="ann", say=lambda _: None, pace=NOW)


@pytest.fixture
def challenger(tmp_path: Path) -> Path:
    return changed_bundle(tmp_path / "challenger", "card.md", b"a challenger")


def version(bundle: Path) -> str:
    return Bundle.open(bundle).version


def champion(home: Home) -> str:
    pointed = home.registry.pointed(CHAMPION)
    assert pointed is not None
    return pointed.version


def registered(home: Home) -> set[str]:
    return {one.version for one in home.registry.models.versions()}


def test_a_promotion_comes_home_whole(home: Home, pipelines: Pipelines, challenger: Path) -> None:
    ran = pipelines.run(pipelines.dataset_pushed(), "promote", challenger)
    (ended,) = bring_home(home).values()
    new = version(challenger)
    assert (ended.state, ended.challenger) == ("promoted", new) and champion(home) == new
    added = next(one for one in home.registry.models.versions() if one.version == new)
    assert added.lineage == Bundle.open(challenger).spec.lineage and Bundle.open(home.registry.fetch(new))
    move = home.registry.models.moves(CHAMPION)[0]
    assert (move.from_version, move.to_version, move.moved_by) == (FIRST, new, "ann")
    assert move.reason == f"retraining {ended.id}: the endpoint bins answers with it; {REASON}"
    (decision,) = Promotions(home.ledger).decisions(new)
    assert (decision.champion, decision.word, decision.set_sha256) == (FIRST, "promote", SET)
    assert decision.record["decision"] == {"word": "promote", "reasons": [REASON]}
    assert Promotions(home.ledger).looks(SET) == [(FIRST, new)]
    row = Retrainings(home.ledger).get(ended.id)
    assert row is not None and (row.state, row.challenger, row.alias) == ("promoted", new, CHAMPION)
    assert row.outcome["execution"] == ran.arn and row.outcome["model_data"] == pipelines.model(ran)
    assert row.why == "a dataset was pushed: s3://warehouse/binsight/datasets/one" and row.watch is None
    assert bring_home(home) == {} and len(home.registry.models.moves(CHAMPION)) == 2, "once"


@pytest.mark.parametrize(("word", "state"), [("keep", "kept"), ("refuse", "refused")])
def test_a_challenger_that_is_no_better_is_registered_and_the_champion_stays(
    home: Home, pipelines: Pipelines, challenger: Path, word: str, state: str
) -> None:
    pipelines.run(pipelines.dataset_pushed(), word, challenger)
    (ended,) = bring_home(home).values()
    assert (ended.state, ended.sentence) == (state, REASON) and champion(home) == FIRST
    assert version(challenger) in registered(home)
    assert [one.word for one in Promotions(home.ledger).decisions()] == [word]


def test_a_pushed_dataset_leaves_open_which_counts_and_labels_are_new_and_whether_drift_is_answered(
    home: Home, pipelines: Pipelines, challenger: Path
) -> None:
    drift = DriftEpisodes(home.ledger).seen(FIRST, host="x", sentence="darker")
    begun = {"by": "ann", "why": "", "place": "", "inputs_sha256": "i", "champion": FIRST}
    taken_in = {"num_counts": 3, "num_labelled": 2, "labelled_until": "2026-11-26T12:00:00.000000+00:00"}
    home.rows.begin("before", **begun, **taken_in, now=datetime(2026, 1, 1, tzinfo=UTC))  # type: ignore[arg-type]
    home.rows.change("before", state="kept")
    pipelines.run(pipelines.dataset_pushed(), "keep", challenger)
    bring_home(home)
    last, before = home.rows.newest()
    assert before.id == "before"
    assert (last.num_counts, last.num_labelled, last.labelled_until) == tuple(taken_in.values())
    assert not DriftEpisodes(home.ledger).is_answered(drift)


def test_a_promotion_that_alarms_took_back_is_none(
    home: Home, pipelines: Pipelines, challenger: Path, server: Cloud
) -> None:
    server.rings = True
    pipelines.run(pipelines.dataset_pushed(), "promote", challenger)
    (ended,) = bring_home(home).values()
    assert ended.state == "kept" and "its alarms took it back; the champion stays" in ended.sentence
    assert champion(home) == FIRST and version(challenger) in registered(home)
    (rejected,) = [call.arguments for call in pipelines.asked if call.operation == "UpdateModelPackage"]
    assert rejected["ModelApprovalStatus"] == "Rejected"


def test_what_ended_long_ago_comes_home_whatever_is_on_the_pages_before_it(
    home: Home, pipelines: Pipelines, challenger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that took long ends after newer ones have come home."""
    monkeypatch.setattr(executions, "PAGE", 2)
    slow = pipelines.dataset_pushed()
    for _ in range(4):
        pipelines.run(pipelines.dataset_pushed(), "broken")
    assert [ended.state for ended in bring_home(home).values()] == ["dropped"] * 4
    pipelines.run(slow, "keep", challenger)
    (ended,) = bring_home(home).values()
    assert (ended.state, ended.challenger) == ("kept", version(challenger))


def test_that_executions_are_passed_over_is_told_where_outcomes_come_home(
    home: Home, pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "PAGE", 1)
    monkeypatch.setattr(executions, "PAGES", 1)
    told: list[str] = []
    for _ in range(2):
        pipelines.dataset_pushed()
    bring_home(replace(home, say=told.append))
    assert "has more than 1 executions" in told[0]


def test_a_job_that_failed_is_told_and_decides_nothing(home: Home, pipelines: Pipelines) -> None:
    pipelines.run(pipelines.dataset_pushed(), "broken")
    (ended,) = bring_home(home).values()
    assert (ended.state, ended.sentence) == ("dropped", "Train: the loss is nan")
    assert not Promotions(home.ledger).decisions() and bring_home(home) == {}


def test_what_the_function_refused_is_no_promotion(home: Home, pipelines: Pipelines, challenger: Path) -> None:
    pipelines.run(pipelines.dataset_pushed(), "late", challenger)
    (ended,) = bring_home(home).values()
    assert (ended.state, ended.sentence) == ("dropped", "the function was late") and champion(home) == FIRST
    assert [one.word for one in Promotions(home.ledger).decisions()] == ["promote"]


def test_what_the_endpoint_took_is_promoted_although_the_function_was_not_heard(
    home: Home, pipelines: Pipelines, challenger: Path
) -> None:
    pipelines.run(pipelines.dataset_pushed(), "lost", challenger)
    (ended,) = bring_home(home).values()
    assert ended.state == "promoted" and champion(home) == version(challenger)


def test_several_come_home_in_their_order(
    home: Home, pipelines: Pipelines, challenger: Path, tmp_path: Path
) -> None:
    """The first is no more in use when it comes home; that the second was compared with it says that it was."""
    second = changed_bundle(tmp_path / "second", "card.md", b"a better one")
    first_ran = pipelines.run(pipelines.dataset_pushed("one"), "promote", challenger)
    pipelines.cloud.client("sagemaker").describe_endpoint(EndpointName="bins")  # its update ends
    model = pipelines.model(first_ran)
    pipelines.run(pipelines.dataset_pushed("two", model), "promote", second, compared=version(challenger))
    assert [one.state for one in bring_home(home).values()] == ["promoted", "promoted"]
    moves = [(one.from_version, one.to_version) for one in home.registry.models.moves(CHAMPION)]
    assert moves[:2] == [(version(challenger), version(second)), (FIRST, version(challenger))]


def test_another_model_that_was_deployed_since_is_no_rollback(
    home: Home, pipelines: Pipelines, challenger: Path, tmp_path: Path, server: Cloud
) -> None:
    pipelines.run(pipelines.dataset_pushed(), "promote", challenger)
    other = changed_bundle(tmp_path / "other", "card.md", b"by hand")
    deploy(deployment(bundle=str(other)), server.aws(), pace=NOW)
    (ended,) = bring_home(home).values()
    assert (
        ended.state == "kept" and f"answers with s3://warehouse/binsight/models/{version(other)}" in ended.sentence
    )
    assert not [call for call in pipelines.asked if call.operation == "UpdateModelPackage"]


def test_a_champion_that_was_moved_here_meanwhile_stays_and_it_is_said_how_to_agree(
    home: Home, pipelines: Pipelines, challenger: Path, tmp_path: Path
) -> None:
    other = home.registry.register(changed_bundle(tmp_path / "o", "card.md", b"of here"), by="bea").version
    pipelines.run(pipelines.dataset_pushed(), "promote", challenger)

    def moved_at_the_last_moment() -> None:
        seen = home.registry.pointed(CHAMPION)
        home.registry.point(CHAMPION, other, by="bea", reason="", seen=seen)

    racing = Home(
        **{name: getattr(home, name) for name in ("d", "aws", "registry", "ledger", "by", "say", "pace")},
        check=moved_at_the_last_moment,
    )
    (ended,) = bring_home(racing).values()
    assert champion(home) == other and ended.state == "promoted"
    assert f"binsight models promote {version(challenger)}, if it shall be that here too" in ended.sentence
    row = Retrainings(home.ledger).get(ended.id)
    assert row is not None and row.alias is None


class Killed(BaseException): ...


@contextmanager
def killed_at_transaction(number: int, patch: pytest.MonkeyPatch, *, after: bool) -> Iterator[None]:
    """Death before the ledger's writing transaction of this number, or right after it."""
    writing, left = Ledger.writing, number

    @contextmanager
    def counted(self: Ledger) -> Iterator[Any]:
        nonlocal left
        left -= 1
        if left == 0 and not after:
            raise Killed
        with writing(self) as connection:
            yield connection
        if left == 0:
            raise Killed

    with patch.context() as inner:
        inner.setattr(Ledger, "writing", counted)
        yield


@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_the_next_run_ends_as_if_it_had_not_been(
    home: Home, pipelines: Pipelines, challenger: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    pipelines.run(pipelines.dataset_pushed(), "promote", challenger)
    number = 0
    while True:
        number += 1
        try:
            with killed_at_transaction(number, monkeypatch, after=after):
                bring_home(home)
            break
        except Killed:
            continue
    assert number > 4
    (row,) = Retrainings(home.ledger).newest()
    assert (row.state, row.alias, row.challenger) == ("promoted", CHAMPION, version(challenger))
    assert champion(home) == version(challenger) and len(home.registry.models.moves(CHAMPION)) == 2
    assert len(Promotions(home.ledger).decisions()) == 1 and Promotions(home.ledger).num_looks(SET) == 1
    assert bring_home(home) == {}


def test_what_was_rolled_back_by_hand_after_it_came_home_is_not_promoted_again(
    home: Home, pipelines: Pipelines, challenger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the move and the row, and somebody goes back before the next run."""
    pipelines.run(pipelines.dataset_pushed(), "promote", challenger)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Retrainings, "change", raising(Killed()))
        bring_home(home)
    home.registry.roll_back(CHAMPION, by="bea", reason="no")
    (ended,) = bring_home(home).values()
    assert ended.state == "promoted" and champion(home) == FIRST


def raising(error: BaseException) -> Callable[..., None]:
    def act(*_: Any, **__: Any) -> None:
        raise error

    return act


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"decision": {"word": "promote"}})])
def test_an_evaluation_that_is_none_moves_nothing(
    home: Home, pipelines: Pipelines, challenger: Path, text: str
) -> None:
    ran = pipelines.run(pipelines.dataset_pushed(), "promote", challenger)
    open_store(D.s3("runs", "evaluations", ran.id)).write("evaluation.json", text.encode())
    with pytest.raises(BadInput, match=r"evaluation.json is no evaluation of this Binsight"):
        bring_home(home)
    assert champion(home) == FIRST and registered(home) == {FIRST}


def test_a_model_that_was_replaced_in_the_bucket_is_not_the_challenger(
    home: Home, pipelines: Pipelines, challenger: Path, tmp_path: Path
) -> None:
    ran = pipelines.run(pipelines.dataset_pushed(), "promote", challenger)
    pipelines._trained(ran, changed_bundle(tmp_path / "x", "card.md", b"put there by somebody"))
    with pytest.raises(BadBundle, match=f"must hold the challenger {version(challenger)}, but holds"):
        bring_home(home)
    assert champion(home) == FIRST and registered(home) == {FIRST}
