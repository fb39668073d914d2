"""The terms on which a challenger takes the champion's place; docs/decisions/0020 says why each is what it is."""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from binsight.errors import BadInput


class PromotionPolicy(BaseModel):
    """Every term with its default. Margins are for what may be lost while more photos are answered exactly."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alpha: float = Field(0.005, gt=0, le=0.05, description="Level of both tests of exact answers, one-sided.")
    max_looks: int = Field(
        10, ge=1, le=100, description="Challengers that one promotion set may judge: 10 at 0.005 are 5% in all."
    )
    max_age_days: float = Field(180, gt=0, description="Days from freezing after which a promotion set is stale.")
    min_photos: int = Field(400, ge=100, description="Photos that a promotion set must have at least.")
    min_chains: int = Field(50, ge=10, description="Chains of bins that it must have at least.")
    rps_margin: float = Field(0.02, ge=0, description="RPS, in items, that the 95% interval may reach above 0.")
    nll_margin: float = Field(
        0.05, ge=0, description="Log score, in nats, that the 95% interval may reach above 0."
    )
    ece_margin: float = Field(0.02, ge=0, description="Calibration error that the challenger may have more.")
    slice_pairs: int = Field(400, ge=1, description="Photos below which a slice is only reported.")
    slice_margin: float = Field(0.02, ge=0, description="Share of exact answers that a slice may lose.")
    slice_errors: float = Field(
        1.6, ge=1.6, description="Standard errors that a slice may lose, where these are more than slice_margin."
    )
    certified_alpha: float = Field(0.05, gt=0, lt=1, description="Bound at which the certificates are compared.")
    coverage_margin: float = Field(0.05, ge=0, description="Share of right records verified that may be lost.")
    latency_ratio: float = Field(1.5, gt=0, description="Times the champion's time for a photo that may be taken.")
    size_ratio: float = Field(4.0, gt=0, description="Times the champion's bytes that the bundle may have.")

    @classmethod
    def of(cls, overrides: dict[str, str]) -> "PromotionPolicy":
        """The defaults with `name=value` overrides. Raises `BadInput` for an unknown name or an impossible value."""
        try:
            return cls.model_validate(overrides)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            if first["type"] == "extra_forbidden":
                raise BadInput(f"there is no term {name}; the terms are {', '.join(cls.model_fields)}") from None
            raise BadInput(f"{name}: {first['msg'].lower()}, but it is {first['input']}; choose another") from None
