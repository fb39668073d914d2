"""What a retraining begins with: whether it is due, whether there is anything new, and the plan that says so for good."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from binsight.audit.standing import standing_of
from binsight.counting.cores import available_cores
from binsight.counting.registry import Registry
from binsight.errors import BadInput, MissingObject
from binsight.lifecycle.artifacts import identity, key_of
from binsight.lifecycle.counted import counted_bins, number_of_counts
from binsight.lifecycle.decide import refusals_of_set
from binsight.lifecycle.due import Facts, Verdict, is_due
from binsight.lifecycle.labelled import Labels, labels_of
from binsight.lifecycle.parents import FindRun, Learned, champions_run, learned
from binsight.lifecycle.plan import Plan
from binsight.lifecycle.policy import PromotionPolicy
from binsight.lifecycle.promotion_set import PromotionSet
from binsight.lifecycle.terms import Terms
from binsight.model.recipe import dump_recipe, load_recipe
from binsight.records import CHAMPION
from binsight.settings import settings
from binsight.storage.api_key import stamp
from binsight.storage.ledger import Certificates, DriftEpisodes, Ledger, Marks, Pointed, Promotions, Retrainings
from binsight.storage.ledger.retrainings import DECIDED, RUNNING

DATE = "retrain.date"
"""The mark from which a retraining's date counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A plan and its recipe; or `plan` is None, and `sentence` says why there is nothing to do."""

    plan: Plan | None
    recipe: str
    sentence: str


def labels_for(terms: Terms) -> Labels:
    """The labelled captures that may join. Raises as `labels_of`."""
    return labels_of(settings()) if terms.data.captures else Labels()


def look(
    terms: Terms, ledger: Ledger, champion: Pointed, labels: Labels, *, now: datetime | None = None
) -> Verdict:
    """Whether a retraining is due, and the date's mark set where it has to count from now on."""
    at, marks = now or datetime.now(UTC), Marks(ledger)
    last = Retrainings(ledger).newest(1, states=DECIDED)
    since = marks.get(DATE)
    facts = Facts(
        now=at,
        num_counts=number_of_counts(ledger),
        num_counts_before=last[0].num_counts if last else 0,
        since=None if since is None else datetime.fromisoformat(since),
        has_retrained=bool(last),
        drift=drift_of(ledger, champion) or drift_in_service(ledger, champion, at),
        num_labelled=labels.number_since(last[0].labelled_until if last else None),
    )
    verdict = is_due(facts, terms.due)
    if verdict.starts_date:
        marks.set(DATE, stamp(at))
    return verdict


def drift_of(ledger: Ledger, champion: Pointed) -> str:
    """Why a certificate of the champion's estimates is suspended, but for its age; empty where none is."""
    certificates = Certificates(ledger)
    for sha256 in certificates.used():
        standing = standing_of(sha256, certificates.acts(sha256))
        for reason in standing.reasons:
            if reason.why != "aged" and standing.model.endswith(f":{champion.version}"):
                return reason.sentence
    return ""


def drift_in_service(ledger: Ledger, champion: Pointed, now: datetime) -> str:
    """What services see of the champion's photos, as long as no retraining has answered it; else empty."""
    episodes = DriftEpisodes(ledger)
    found = episodes.under_way(champion.version, now=now)
    if found is None or episodes.is_answered(found.number):
        return ""
    return f"photos drift since {found.began_at[:16]}, as {found.host} saw last: {found.sentence}"


def champion_of(registry: Registry) -> Pointed:
    """The bundle in use. Raises `MissingObject` where there is none."""
    found = registry.pointed(CHAMPION)
    if found is None:
        raise MissingObject(
            f"{CHAMPION} points at no model yet, and a challenger has nothing to be better than; binsight models register "
            "one, and promote it"
        )
    return found


def begin(
    terms: Terms,
    registry: Registry,
    ledger: Ledger,
    champion: Pointed,
    labels: Labels,
    work: Path,
    *,
    why: str,
    anyway: bool,
    find_run: FindRun = champions_run,
) -> Beginning:
    """The plan of a new retraining; `find_run` finds the champion's run where training begins with it.

    Raises `BadInput`, `BadRecipe`, `BadDataset` or `MissingObject` for what it lacks.
    """
    recipe_text = recipe_text_of(terms)
    bins = counted_bins(ledger)
    rows = [asdict(one) for one in (*bins, *labels.rows)]
    inputs = key_of(
        {
            "rows": rows,
            "base": identity("dataset", terms.data.base),
            "recipe": recipe_text,
            "begin": terms.train.begin,
            "champion": champion.version,
        }
    )
    if not anyway and (sentence := _nothing_new(terms, ledger, champion, registry, inputs, len(rows))):
        return Beginning(plan=None, recipe="", sentence=sentence)
    parent, seen = None, Learned()
    if terms.train.begin == "champion":
        parent = find_run(registry.fetch(champion.version), [*terms.train.runs, work])
        seen = learned(parent)
    _check_known(terms, parent)
    check_judges(terms, ledger)
    known = (*seen.folders, *(str(folder.resolve()) for folder in terms.train.learned))
    seen = Learned(hashes=seen.hashes, folders=tuple(dict.fromkeys(known)))
    drift = DriftEpisodes(ledger).under_way(champion.version)
    plan = Plan(
        id=str(uuid4()),
        why=why,
        terms_sha256=terms_digest(terms, recipe_text),
        inputs_sha256=inputs,
        champion=champion.version,
        revision=champion.revision,
        parent=None if parent is None else str(parent),
        learned=seen,
        rows=tuple(rows),
        num_counts=len(bins),
        threads=terms.train.threads or available_cores(),
        num_labelled=labels.number,
        labelled_until=labels.until,
        drift=None if drift is None else drift.number,
    )
    return Beginning(plan=plan, recipe=recipe_text, sentence="")


def _check_known(terms: Terms, parent: Path | None) -> None:
    """Raises `BadInput` where the challenger would learn from weights or teachers of which nobody can say what photos they
    have seen: it could not be compared, which is better said before it is trained."""
    from binsight.model.learned import not_known

    recipe = load_recipe(terms.train.recipe, ["data.dataset=", *terms.train.overrides])
    if parent is not None:
        model = recipe.model.model_copy(update={"weights": f"run:{parent}"})
        recipe = recipe.model_copy(update={"model": model})
    if unknown := not_known(recipe):
        which = "begin afresh: train.begin=fresh" if parent in unknown else "leave it out of the recipe"
        raise BadInput(
            f"nobody knows all photos that {unknown[0]} has learned from (as of the counter that ships with Binsight), so "
            "that no challenger that learns from it could be compared: whether it has seen the photos that judge could not "
            f"be checked; {which}"
        )


def check_judges(terms: Terms, ledger: Ledger) -> None:
    """Raises `BadInput` where the promotion set could not judge a challenger, whatever that is: it has too few photos, is
    stale, was changed, or has judged all that it may. Then nothing is trained, nor is a set frozen that is of no use."""
    policy = PromotionPolicy.of(dict(terms.compare))
    data, promotions = terms.data, Promotions(ledger)
    judges = PromotionSet.open(data.promotion, split=data.split, where=data.where, name=data.name)
    now = stamp(datetime.now(UTC))
    frozen = promotions.sets()
    known = next((one for one in frozen if one.name == judges.name), None)
    # One that was not frozen yet will be now, or is as old as the same photos under another name.
    begun = min((one.frozen_at for one in frozen if one.sha256 == judges.sha256), default=now)
    spent = promotions.num_looks(judges.sha256) >= policy.max_looks
    facts = replace(
        judges.facts,
        frozen_sha256=known.sha256 if known else judges.sha256,
        frozen_at=known.frozen_at if known else begun,
        shared_with=known.shared_with if known else "",
        look=None if spent else 0,
        max_looks=policy.max_looks,
    )
    if (obstacle := next(refusals_of_set(facts, policy, now), None)) is not None:
        raise BadInput(f"no challenger could be judged, so that none is trained: {obstacle}")


def tell_begun(ledger: Ledger, plan: Plan, *, place: str, by: str) -> None:
    """Keep that this retraining is under way, and with what it began; one that has begun goes on."""
    rows = Retrainings(ledger)
    rows.begin(
        plan.id,
        by=by,
        why=plan.why,
        place=place,
        inputs_sha256=plan.inputs_sha256,
        num_counts=plan.num_counts,
        champion=plan.champion,
        drift=plan.drift,
        num_labelled=plan.num_labelled,
        labelled_until=plan.labelled_until,
    )
    rows.change(plan.id, state=RUNNING, sentence="")


def terms_digest(terms: Terms, recipe_text: str) -> str:
    """What of the terms decides what a retraining does, once it is begun."""
    fields = terms.model_dump(mode="json", exclude={"due"})
    return key_of({"terms": fields, "recipe": recipe_text})


def recipe_text_of(terms: Terms) -> str:
    """The recipe of the terms, whole, without a dataset."""
    return dump_recipe(load_recipe(terms.train.recipe, ["data.dataset=", *terms.train.overrides]))


def _nothing_new(
    terms: Terms, ledger: Ledger, champion: Pointed, registry: Registry, inputs: str, num_rows: int
) -> str:
    """Why a retraining would learn nothing that the last one, or the champion, did not; empty where it would."""
    last = Retrainings(ledger).newest(1, states=DECIDED)
    if last and last[0].inputs_sha256 == inputs:
        return (
            f"nothing is new since the retraining of {last[0].begun_at[:16]}, which ended so: {last[0].state}; "
            "have bins counted, or retrain all the same with --anyway"
        )
    if not last and not num_rows:
        lineage = next((one.lineage for one in registry.models.versions() if one.version == champion.version), {})
        if lineage.get("dataset_sha256") == identity("dataset", terms.data.base):
            return (
                "no bin with a photo was counted yet, and the champion was trained on this very dataset; have bins "
                "counted (binsight audit --tasks), or retrain all the same with --anyway"
            )
    return ""
