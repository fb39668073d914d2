"""`binsight models freeze | compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from binsight.cli.evaluate import conditions
from binsight.cli.models import open_registry
from binsight.cli.options import json_option, print_json, require_extra, who
from binsight.errors import BadInput, GateFailed

if TYPE_CHECKING:
    from binsight.counting.registry import Registry
    from binsight.lifecycle.judge import Judged
    from binsight.lifecycle.promotion_set import PromotionSet

split_option = click.option(
    "--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True, help="Which photos."
)
where_option = click.option(
    "--where",
    metavar="COLUMN=VALUE",
    multiple=True,
    help="Only photos with this value; repeat it for further columns, or further values of one column.",
)
name_option = click.option("--name", default="", help="Name of the set.  [default: FOLDER/SPLIT]")


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@split_option
@where_option
@name_option
@json_option
def freeze(dataset: Path, split: str, where: tuple[str, ...], name: str, as_json: bool) -> None:
    """Freeze the photos that challengers are judged on.

    The result is a row in the ledger: the set's name, the hash of its photos, counts and chains, and when it was frozen.
    Freezing it again changes nothing, and a set whose photos or counts have changed since is refused.
    """
    registry, opened = open_registry(), _opened(dataset, split, where, name)
    from binsight.lifecycle.promotion_set import freeze as freeze_set
    from binsight.storage.ledger import Promotions

    promotions = Promotions(registry.models.ledger)
    frozen = freeze_set(promotions, opened, by=who())
    if frozen.frozen_sha256 != frozen.sha256:
        raise BadInput(
            f"{frozen.name} was frozen as {frozen.frozen_sha256[:12]}…, but is {frozen.sha256[:12]}… now; restore it, or "
            "freeze these photos with another --name"
        )
    looks = promotions.num_looks(frozen.sha256)
    if as_json:
        print_json(
            {
                "name": frozen.name,
                "sha256": frozen.sha256,
                "photos": len(frozen.photos),
                "frozen_at": frozen.frozen_at,
                "looks": looks,
                "shared_with": frozen.shared_with,
            }
        )
    else:
        shared = f"; more than half of it is in {frozen.shared_with}" if frozen.shared_with else ""
        click.echo(
            f"{frozen.name}: {len(frozen.photos):,} photos, sha256 {frozen.sha256[:12]}…, frozen {frozen.frozen_at[:16]}, "
            f"has judged {looks}{shared}"
        )


@click.command()
@click.argument("challenger")
@click.argument("terms", nargs=-1, metavar="[TERM=VALUE]...")
@click.option(
    "--on", "dataset", required=True, type=click.Path(path_type=Path), help="Dataset of the frozen photos."
)
@split_option
@where_option
@name_option
@click.option(
    "--training",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Dataset that the challenger was trained on; repeat it for those of its first weights and teachers.",
)
@click.option("--champion", metavar="VERSION", help="Compare with this version instead of the champion.")
@click.option("--promote", is_flag=True, help="Point the champion at the challenger if that is the decision.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report.  [default: comparison-VERSION]")
@json_option
def compare(
    challenger: str,
    terms: tuple[str, ...],
    dataset: Path,
    split: str,
    where: tuple[str, ...],
    name: str,
    training: tuple[Path, ...],
    champion: str | None,
    promote: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Judge a challenger against the champion on frozen photos.

    CHALLENGER is a version, its beginning, an alias, or the folder of a bundle, which is registered then. The result is a
    decision, promote, keep or refuse, with its reasons: a folder with a page for people, decision.json for programs and
    every photo's answers (Parquet), and a row in the ledger. Both models are asked about the same photos in one run.
    No photo of the challenger's training may be among them, so that --training must name its dataset. What is frozen the
    first time it is named by --on is judged by then on: at most ten challengers on one set, for half a year
    (docs/how-to/replace-the-model.md). TERM=VALUE changes a term of the decision, as in alpha=0.001.

    It ends non-zero where the comparison was refused and, with --promote, where the champion was kept.
    """
    require_extra("data", "comparing models")
    registry, opened = open_registry(), _opened(dataset, split, where, name)
    from binsight.lifecycle.judge import judge
    from binsight.lifecycle.policy import PromotionPolicy

    policy = PromotionPolicy.of(overrides(terms))
    version = _version(registry, challenger)
    judged = judge(
        registry,
        version,
        opened,
        out=out or Path(f"comparison-{version}"),
        by=who(),
        training=training[0] if training else None,
        further_training=training[1:],
        champion=champion,
        policy=policy,
        promote=promote,
    )
    if as_json:
        print_json(_line(judged))
    else:
        _tell(judged)
    if judged.decision.word == "refuse" or (promote and judged.promoted is None):
        raise GateFailed(f"not promoted: {judged.decision.reasons[0]}")


def overrides(terms: tuple[str, ...]) -> dict[str, str]:
    """`("alpha=0.001",)` as names and values. Raises `BadInput` for what is no TERM=VALUE."""
    found = {}
    for term in terms:
        name, equals, value = term.partition("=")
        if not equals:
            raise BadInput(f"a term must be TERM=VALUE, but is {term}; see docs/how-to/replace-the-model.md")
        found[name.strip()] = value.strip()
    return found


def _opened(dataset: Path, split: str, where: tuple[str, ...], name: str) -> "PromotionSet":
    require_extra("data", "promotion sets")
    from binsight.lifecycle.promotion_set import PromotionSet

    return PromotionSet.open(dataset, split=split, where=conditions(where), name=name)  # type: ignore[arg-type]


def _version(registry: "Registry", challenger: str) -> str:
    from binsight.counting.bundle import SPEC_NAME

    folder = Path(challenger)
    if (folder / SPEC_NAME).is_file():
        return registry.register(folder, by=who()).version
    return registry.resolve(challenger)


def _line(judged: "Judged") -> dict[str, Any]:
    found = judged.comparison.figures
    line: dict[str, Any] = {
        "word": judged.decision.word,
        "reasons": list(judged.decision.reasons),
        "champion": judged.row.champion,
        "challenger": judged.row.challenger,
        "promoted": judged.promoted is not None,
        "id": judged.row.id,
        "report": str(judged.page),
    }
    if found is not None:
        line |= {
            "num_photos": found.exact.num_photos,
            "only_challenger": found.exact.only_ours,
            "only_champion": found.exact.only_theirs,
            "p": found.exact.p,
            "p_by_chain": found.exact.p_by_chain,
        }
    return line


def _tell(judged: "Judged") -> None:
    words = {"promote": "promote", "keep": "keep the champion", "refuse": "refused"}
    click.echo(f"{words[judged.decision.word]}: {judged.row.challenger} against {judged.row.champion}")
    for reason in judged.decision.reasons:
        click.echo(f"  {reason}")
    if judged.promoted is not None:
        click.echo(f"{judged.promoted.alias} is {judged.promoted.version} (move {judged.promoted.revision})")
    elif judged.decision.word == "promote":
        click.echo(f"next: binsight models promote {judged.row.challenger} --expect {judged.row.champion}")
    click.echo(f"report: {judged.page}")
