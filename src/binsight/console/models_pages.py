"""The model in service, what it is certified for, and the registry's history: to read; models are moved by commands."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from binsight.console.access import Deciding
from binsight.console.pages import page
from binsight.console.state import Console, TheConsole
from binsight.counting.bundle import CERTIFICATE_NAME
from binsight.decision.certificate import Certificate, read_certificate
from binsight.storage.ledger import Models, Retrainings

router = APIRouter()

MOST_RETRAININGS = 10


@router.get("/models")
def models_page(request: Request, _user: Deciding, console: TheConsole) -> Response:
    """What counts at this moment, and what did before."""
    models, counter = Models(console.ledger), console.counter()
    pointed = models.pointed()
    return page(
        request,
        "models.html",
        served=None if counter is None else counter.bundle,
        figures=_figures(console),
        certificate=_certificate(console),
        versions=models.versions(),
        pointed=pointed,
        retrainings=Retrainings(console.ledger).newest(MOST_RETRAININGS),
        moves=[move for alias in pointed for move in models.moves(alias)],
    )


def _certificate(console: Console) -> Certificate | None:
    """The certificate in the bundle that is in service."""
    counter = console.counter()
    data = None if counter is None else counter.bundle.certificate()
    return None if data is None else read_certificate(data, name=CERTIFICATE_NAME)


def _figures(console: Console) -> dict[str, dict[str, float]]:
    """The figures of the bundle in service, group by group; what is no number stands in its card."""
    counter = console.counter()
    groups = {} if counter is None else counter.bundle.spec.figures
    return {
        group: {name: value for name, value in figures.items() if isinstance(value, int | float)}
        for group, figures in groups.items()
        if isinstance(figures, dict)
    }
