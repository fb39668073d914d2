"""What became of a pipeline, brought home: looks, decision, challenger, alias, and the retraining's row, in this order.

```
evaluation.json ─▶ decision's row      model.tar.gz ─▶ registered      the endpoint answers with it? ─▶ champion moved
```
Each is done once however often it is begun, and the row, which ends it, comes last: killed anywhere, the next `binsight
retrain --on sagemaker` goes on. What promoted is the endpoint alone: a step that succeeded is no proof, for alarms may have
taken the model back since, and one that failed is none either.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from binsight.counting.bundle import Bundle
from binsight.counting.registry import Registry
from binsight.engines.container.evaluation import bundle_in
from binsight.engines.contract import EVALUATION_FILE
from binsight.engines.sagemaker.apply import Pace, settled_model
from binsight.engines.sagemaker.aws import Aws, NotThere
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.executions import Execution, Steps, executions, given_to, steps_of, trained
from binsight.engines.sagemaker.looks import take_looks
from binsight.engines.sagemaker.parents import MODEL
from binsight.errors import BadBundle, BadInput, ChangedMeanwhile, MissingObject
from binsight.lifecycle.beginning import DATE, champion_of
from binsight.lifecycle.concluding import conclude_with
from binsight.lifecycle.retrain import Ended
from binsight.lifecycle.runner import Say
from binsight.lifecycle.verdict import keep_decision
from binsight.records import CHAMPION
from binsight.storage.api_key import stamp
from binsight.storage.ledger import Ledger, Marks, Pointed, Promotions, Retrainings
from binsight.storage.ledger.retrainings import DECIDED, DROPPED, KEPT, PROMOTED, REFUSED
from binsight.storage.objects import open_store

UPDATE = "UpdateEndpoint"
_STAYS = {"keep": KEPT, "refuse": REFUSED}


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where outcomes are brought, and who brings them. `check` is asked before anything that others see."""

    d: Deployment
    aws: Aws
    registry: Registry
    ledger: Ledger
    by: str
    say: Say
    pace: Pace
    check: Callable[[], None] = lambda: None

    @property
    def rows(self) -> Retrainings:
        return Retrainings(self.ledger)

    @property
    def pipeline(self) -> str:
        return self.d.arn("sagemaker", f"pipeline/{self.d.name}")


def bring_home(home: Home) -> dict[str, Ended]:
    """Bring everything home that ended and that the ledger does not know of, the oldest first: how each ended, by its
    retraining's id. Raises as `Aws.ask`, the object store and the ledger do; what was brought stays."""
    promotions = Promotions(home.ledger)
    take_looks(home.d, promotions, by=home.by)
    found = executions(home.d, home.aws, tell=home.say)
    given = cache(lambda arn: given_to(arn, home.aws))
    ended: dict[str, Ended] = {}
    for place in range(len(found) - 1, -1, -1):
        one = found[place]
        if one.is_over and not _is_home(home, one):
            ended[one.retraining] = _Coming(home=home, one=one, later=found[:place], given_to=given).bring()
            home.say(f"the pipeline of {one.begun_at:%Y-%m-%d %H:%M} has ended: {ended[one.retraining].sentence}")
    return ended


def _is_home(home: Home, one: Execution) -> bool:
    row = home.rows.get(one.retraining)
    return row is not None and row.state in (*DECIDED, DROPPED)


@dataclass(frozen=True, kw_only=True)
class _Coming:
    """One execution on its way home; `later` are those that began after it, and `given_to` says what any was given."""

    home: Home
    one: Execution
    later: list[Execution]
    given_to: Callable[[str], dict[str, str]]

    @cached_property
    def given(self) -> dict[str, str]:
        return self.given_to(self.one.arn)

    @cached_property
    def steps(self) -> Steps:
        return steps_of(self.one.arn, self.home.aws)

    @cached_property
    def model(self) -> str | None:
        return trained(self.steps, self.home.aws)

    @cached_property
    def evaluation(self) -> str:
        return self.home.d.s3("runs", "evaluations", self.one.id)

    def bring(self) -> Ended:
        """All of it; the row last."""
        home, record = self.home, self._record()
        self._begin(record)
        values: dict[str, Any] = {"state": DROPPED, "sentence": self.steps.reason}
        if record is not None:
            keep_decision(Promotions(home.ledger), record, by=home.by)
            with TemporaryDirectory(prefix="binsight-") as place:
                values = self._concluded(record, self._registered(record, Path(place)))
        outcome: dict[str, Any] = {
            "execution": self.one.arn,
            "evaluation": self.evaluation,
            "model_data": self.model,
        }
        if record is not None:
            trained_on = record["comparison"]["challenger"]["trained_on"]
            outcome["dataset"] = {"sha256": trained_on, "place": self.given.get("Dataset")}
            outcome["reasons"] = record["decision"]["reasons"]
        home.rows.change(self.one.retraining, **values, outcome=outcome)
        if self.one.plan and values["state"] in DECIDED:
            Marks(home.ledger).set(DATE, stamp(datetime.now(UTC)))
        return Ended(
            state=values["state"],
            sentence=values["sentence"],
            id=self.one.retraining,
            challenger=values.get("challenger"),
        )

    def _record(self) -> Mapping[str, Any] | None:
        """What the evaluation left; None where the execution did not get so far. Raises `BadInput` for what is none."""
        store = open_store(self.evaluation, region=self.home.d.region)
        try:
            found = json.loads(store.read(EVALUATION_FILE))
            decision = {name: value for name, value in found["decision"].items() if name != "reason"}
            _ = (found["comparison"]["champion"]["version"], decision["word"], decision["reasons"], found["policy"])
        except MissingObject:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(
                f"{self.evaluation}/{EVALUATION_FILE} is no evaluation of this Binsight ({error!r}); copy it again, or "
                "remove it to give that execution up"
            ) from None
        return {**found, "decision": decision}

    def _begin(self, record: Mapping[str, Any] | None) -> None:
        """The row of an execution that a dataset started; one that a plan started has its row."""
        rows = self.home.rows
        last = next(iter(rows.newest(1, states=DECIDED)), None)
        pushed = f"a dataset was pushed: {self.given.get('Dataset', 'unknown')}"
        rows.begin(
            self.one.retraining,
            by=self.home.by,
            why="it was begun with another ledger" if self.one.plan else pushed,
            place=self.home.pipeline,
            # It took in no counts: whether there are new ones is asked as if it had not been.
            inputs_sha256=last.inputs_sha256 if last else "",
            num_counts=last.num_counts if last else 0,
            num_labelled=last.num_labelled if last else 0,
            labelled_until=last.labelled_until if last else None,
            champion=record["comparison"]["champion"]["version"]
            if record
            else champion_of(self.home.registry).version,
            now=self.one.begun_at,
        )

    def _registered(self, record: Mapping[str, Any], place: Path) -> Path | None:
        """The challenger in the registry, and its folder; None where the bucket has it no more."""
        if self.model is None:
            return None
        try:
            folder = fetched_bundle(self.home.d, self.model, place)
        except MissingObject:
            return None
        wanted, found = record["comparison"]["challenger"]["version"], Bundle.open(folder).version
        if found != wanted:
            raise BadBundle(
                f"{self.model} must hold the challenger {wanted}, but holds {found}; see who replaced it"
            )
        self.home.registry.register(folder, by=self.home.by)
        return folder

    def _concluded(self, record: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
        """State and sentence, and where the champion was moved, the move."""
        word, reasons = record["decision"]["word"], "; ".join(record["decision"]["reasons"])
        challenger = record["comparison"]["challenger"]["version"]
        values = {"challenger": challenger}
        if word in _STAYS:
            return values | {"state": _STAYS[word], "sentence": reasons}
        if not self._is_in_use():
            return values | self._not_taken()
        if folder is None:
            raise MissingObject(
                f"the endpoint {self.home.d.name} answers with {self.model}, which is not in the bucket any more; copy it "
                "there again"
            )
        return values | self._moved(record, folder)

    def _is_in_use(self) -> bool:
        """Whether the endpoint answers with the challenger, or did until a later one was compared with it."""
        return self.model is not None and (self.answers_with == self.model or self._was_compared_with_later())

    @cached_property
    def answers_with(self) -> str | None:
        """The model that the endpoint answers with once no update is under way; None where there is no endpoint."""
        self.home.say(f"asking what the endpoint {self.home.d.name} answers with; an update is waited for")
        return settled_model(self.home.d, self.home.aws, self.home.pace)

    def _was_compared_with_later(self) -> bool:
        return any(self.given_to(one.arn).get("Champion") == self.model for one in self.later)

    def _not_taken(self) -> dict[str, Any]:
        """A better challenger that is not in use: alarms took it back, or the function would not put it there."""
        step, d, aws = self.steps.by_name.get(UPDATE, {}), self.home.d, self.home.aws
        if step.get("StepStatus") != "Succeeded":
            return {"state": DROPPED, "sentence": step.get("FailureReason") or self.steps.reason}
        if self.answers_with != self.given.get("Champion"):
            there = self.answers_with or "nothing, as it is not there"
            why = f"the endpoint {d.name} took the challenger and answers with {there} by now; the champion here stays"
            return {"state": KEPT, "sentence": why}
        why = f"the endpoint {d.name} took the challenger, and its alarms took it back; the champion stays"
        if package := self.steps.about("Register", "RegisterModel").get("Arn"):
            asked = {"ModelPackageArn": package, "ModelApprovalStatus": "Rejected", "ApprovalDescription": why}
            try:
                aws.ask(Call(service="sagemaker", operation="UpdateModelPackage", arguments=asked))
            except NotThere:
                self.home.say(f"the model package {package} of {d.name} is gone")
        return {"state": KEPT, "sentence": why}

    def _moved(self, record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        home = self.home
        compared, now = record["comparison"]["champion"]["version"], champion_of(home.registry)
        reasons = [f"the endpoint {home.d.name} answers with it", *record["decision"]["reasons"]]
        seen = Pointed(alias=CHAMPION, version=compared, revision=now.revision)
        home.check()
        try:
            done = conclude_with(
                {"word": "promote", "reasons": ["; ".join(reasons)]},
                folder,
                id=self.one.retraining,
                better="promote",
                seen=seen,
                registry=home.registry,
                by=home.by,
            )
        except ChangedMeanwhile:
            challenger = record["comparison"]["challenger"]["version"]
            there = champion_of(home.registry).version
            if there == challenger:
                return {"state": PROMOTED, "sentence": "; ".join(reasons)}
            return {
                "state": PROMOTED,
                "sentence": f"the endpoint {home.d.name} answers with {challenger}, which was compared with {compared}; "
                f"the champion here is {there} by now, and stays: binsight models promote {challenger}, if it shall be "
                "that here too",
            }
        return {
            "state": PROMOTED,
            "sentence": "; ".join(reasons),
            "alias": done["alias"],
            "revision": done["revision"],
        }


def fetched_bundle(d: Deployment, model: str, place: Path) -> Path:
    """The bundle in a `model.tar.gz` of the bucket, in a folder below `place`. Raises `MissingObject`, `BadInput`."""
    folder = place / "input" / "model"
    folder.mkdir(parents=True)
    address, _, name = model.rpartition("/")
    (folder / MODEL).write_bytes(open_store(address, region=d.region).read(name))
    return bundle_in(folder)
