"""`/v1/drift`: whether the photos are still like those that the model was calibrated on, for integrators and people."""

from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request

from binsight.service.access import needs
from binsight.service.drift import DriftState, State
from binsight.storage.api_key import READ

router = APIRouter(prefix="/v1", tags=["Binsight"])


class FeatureAnswer(BaseModel):
    """One feature of the last photos against the reference's."""

    name: str
    psi: float = Field(description="Population stability index, less what chance adds; from 0.25 on it is large.")
    ks: float = Field(description="Largest distance of the two distribution functions.")
    p_chance: float = Field(description="How likely chance brings such a distance.")
    median: float
    reference_median: float
    drifting: bool
    sentence: str


class SeparationAnswer(BaseModel):
    """How well a classifier tells the last photos from the reference's: 0.5 is not at all, 1 is always."""

    auc: float
    low: float = Field(description="The lower end of its one-sided 99% interval.")
    drifting: bool


class DriftAnswer(BaseModel):
    """The last photos of one bundle in service."""

    model: str = Field(description="The bundle, NAME:VERSION.")
    state: State = Field(description="What the last two looks agree on. While drifting, nothing is verified.")
    sentence: str
    num_photos: int = Field(description="Photos that are kept for the next look.")
    reference_photos: int | None = Field(description="Photos of the bundle's reference; null where it has none.")
    looked_at: datetime | None = Field(description="When they were compared last; null where they never were.")
    separation: SeparationAnswer | None
    features: list[FeatureAnswer] = Field(description="The largest difference first.")


class DriftAnswers(BaseModel):
    """Every bundle that counted lately, the one that counted last first; none before the first photo."""

    models: list[DriftAnswer]


@router.get("/drift", dependencies=[needs(READ)])
async def drift(request: Request) -> DriftAnswers:
    """Whether photos and estimates are still like those that the model was calibrated on, and what is different."""
    return DriftAnswers(models=[_answer(state) for state in request.app.state.drift.states()])


def _answer(state: DriftState) -> DriftAnswer:
    drift = state.drift
    features = sorted(drift.features, key=lambda feature: -feature.psi) if drift else []
    return DriftAnswer(
        model=state.model,
        state=state.state,
        sentence=state.sentence,
        num_photos=state.num_photos,
        reference_photos=state.reference and state.reference.num_photos,
        looked_at=None if state.looked_at is None else datetime.fromtimestamp(state.looked_at, UTC),
        separation=drift
        and SeparationAnswer(auc=drift.separation.auc, low=drift.separation.low, drifting=drift.is_separable),
        features=[
            FeatureAnswer(
                name=feature.name,
                psi=feature.psi,
                ks=feature.ks,
                p_chance=feature.p_chance,
                median=feature.median,
                reference_median=feature.reference_median,
                drifting=feature.is_drifting,
                sentence=feature.sentence,
            )
            for feature in features
        ],
    )
