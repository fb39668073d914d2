"""The page of suspects: the photos to look at first, and the whole ranking as a table."""

from collections.abc import Sequence

from binsight.dataset.manifest import Dataset
from binsight.imaging.thumbnail import thumbnail
from binsight.model.suspects import Suspect, SuspectSearch, rows
from binsight.report import Page, Tile
from binsight.report.plots import histogram

TILE_SIDE = 200

CAUTION = (
    "A record up here is probably wrong, or right about what cannot be seen: items behind one another, one inside "
    "another, a photo of another moment. The model is wrong, too. Look at the photo, or have the bin counted, before "
    "a record is changed; do not delete records because of their rank."
)
METHOD = (
    "The photos were dealt into {folds} folds by chain of bins. For each fold a network was trained by the recipe on the "
    "other folds' photos, and then asked about this fold's: no photo was judged by a network that saw it, or any other "
    "photo of its chain. One temperature, fitted on all answers, makes them as sure as they are right. The score is the "
    "normalised margin of Confident Learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068), turned round: "
    "(1 − (p(record) − p(the most likely other count))) / 2. It is 0 where the record is certain, 0.5 where another "
    "count is just as likely, 1 where another count is certain."
)


def suspects_page(search: SuspectSearch, suspects: Sequence[Suspect], *, top: int) -> Page:
    """The report on a search, ready to be written; the photos of the first `top` suspects are within it."""
    shown = suspects[:top]
    num_chains = len({suspect.photo.group for suspect in suspects})
    page = Page(
        f"Records to doubt in {search.dataset.folder.resolve().name}",
        lead=f"{len(suspects):,} photos in {num_chains:,} chains of bins ({', '.join(search.splits)}), each judged by a "
        "network that never saw its bin.",
    )
    unlikely = sum(suspect.score > 0.5 for suspect in suspects)
    page.figures(
        {
            "records judged": f"{len(suspects):,}",
            "of them less likely than another count": f"{unlikely / len(suspects):.0%}",
            "with a score above 0.9": f"{sum(suspect.score > 0.9 for suspect in suspects):,}",
        }
    )
    page.section("Look at these first", CAUTION)
    page.contact_sheet(
        [_tile(search.dataset, rank, suspect) for rank, suspect in enumerate(shown, 1)],
        caption=f"The {len(shown):,} photos whose estimate speaks most against the record, the worst first.",
    )
    page.section("All of them")
    scores = [suspect.score for suspect in suspects]
    page.plot(
        "scores",
        histogram(scores, bins=50, limits=(0.5,), xlabel="score"),
        [{"photo": suspect.photo.photo, "score": round(suspect.score, 6)} for suspect in suspects],
        caption="How the scores are spread. Right of the line another count is more likely than the record.",
    )
    page.table("suspects", rows(suspects), most=top, caption="The same photos as a table, and all others.")
    page.section("How they were judged", METHOD.format(folds=search.num_folds))
    return page


def caption(suspect: Suspect) -> str:
    """`record 5, model 2 (93%)`."""
    estimate = suspect.estimate
    named = f"{estimate.count}+" if estimate.count == len(estimate.probs) - 1 else str(estimate.count)
    return f"record {suspect.photo.count}, model {named} ({estimate.probs[estimate.count]:.0%})"


def _tile(dataset: Dataset, rank: int, suspect: Suspect) -> Tile:
    jpeg = thumbnail(dataset.read_bytes(suspect.photo), name=suspect.photo.photo, side=TILE_SIDE)
    detail = f"{rank}: photo {suspect.photo.photo}, {suspect.p_record:.1%} for the record"
    return Tile(jpeg=jpeg, caption=caption(suspect), detail=detail)
