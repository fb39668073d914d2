"""`deploy.toml`: what a deployment is, in as few lines as it takes.

Every name is checked here against the length that what is made of it may have, so that nothing is half made when AWS
says no.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from binsight.errors import BadInput, MissingObject

MOST_OF_A_NAME = 36
"""`binsight-NAME-functions` and `NAME-0123456789ab-shadow` are role's and model's names of at most 64 and 63 characters."""

Arn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$", max_length=2048)]
Image = Annotated[str, Field(pattern=r"^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9._/-]+[:@].+$")]
Instance = Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]


class Part(BaseModel):
    """A part of the file: frozen, and no field that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Roles(Part):
    """Roles that are there already. Those left out are made, with the least they need (`--policies` prints it)."""

    endpoint: Arn | None = Field(None, description="What the endpoint runs as.")
    training: Arn | None = Field(None, description="What training, evaluation and the pipeline run as.")
    functions: Arn | None = Field(None, description="What the functions that start and end a retraining run as.")
    front: Arn | None = Field(None, description="What the function in front of the endpoint runs as.")


class Endpoint(Part):
    """What answers."""

    kind: Literal["real-time", "serverless", "asynchronous"] = "real-time"
    instance_type: Instance = Field("ml.c7i.xlarge", description="Of a kind with instances.")
    variant: str = Field(
        "AllTraffic",
        max_length=63,
        pattern=r"^[a-zA-Z0-9](-?[a-zA-Z0-9])*$",
        description="Never changes: the scaling policy hangs on it.",
    )
    environment: dict[str, str] = Field({}, description="Settings of the service, BINSIGHT_… by name.")
    links: tuple[str, ...] = Field((), description="s3:// places that photos may be read from by link.")
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = Field(2048, description="Of a serverless endpoint.")
    max_concurrency: int = Field(10, ge=1, le=200, description="Of a serverless endpoint; requests at once.")
    concurrent: int = Field(
        4, ge=1, le=1000, description="Of an asynchronous endpoint; requests at once an instance."
    )


class Capture(Part):
    """SageMaker's own data capture, in the bucket below PREFIX/captures."""

    percent: int = Field(0, ge=0, le=100, description="Share of the requests that are kept; 0 keeps none.")


class Scaling(Part):
    """How many instances answer."""

    min: int = Field(1, ge=0)
    max: int = Field(3, ge=1)
    policy: Literal["invocations", "concurrency", "original-cpu-70"] = Field(
        "invocations",
        description="invocations: half of what an instance was measured to bear (AWS's formula); concurrency: requests "
        "under way, of high resolution; original-cpu-70: what the original system used.",
    )
    max_rps: float | None = Field(
        None, gt=0, description="Requests a second that one instance was measured to bear."
    )
    concurrency: float = Field(
        4, gt=0, description="Requests under way on an instance, for the policy concurrency."
    )
    scale_in_s: int = Field(300, ge=0, le=3600)
    scale_out_s: int = Field(60, ge=0, le=3600)

    @model_validator(mode="after")
    def _is_a_range(self) -> "Scaling":
        if self.min > self.max:
            raise ValueError(f"`min <= max` must hold, but got (min={self.min}, max={self.max})")
        return self


class Update(Part):
    """How a new model takes over: a few instances first, all when no alarm has rung, back when one has."""

    canary_percent: int = Field(34, ge=1, le=50, description="Of the instances, that take requests first.")
    bake_s: int = Field(600, ge=0, le=3600, description="How long they are watched.")
    keep_old_s: int = Field(600, ge=0, le=3600, description="How long the old ones stay afterwards.")
    most_s: int = Field(7200, ge=600, le=28800, description="After so long the update is given up.")
    max_error_percent: float = Field(1, gt=0, le=100, description="Answers of 5xx, beyond which the alarm rings.")
    max_latency_ms: float = Field(1000, gt=0, description="Of the slowest hundredth of the answers.")

    @model_validator(mode="after")
    def _fits(self) -> "Update":
        if self.most_s <= self.bake_s + self.keep_old_s:
            raise ValueError(
                f"`bake_s + keep_old_s < most_s` must hold, but got ({self.bake_s} + {self.keep_old_s}, {self.most_s})"
            )
        return self


class Shadow(Part):
    """A second model that gets copies of the requests; nobody hears its answers, capture keeps them."""

    bundle: Path
    instance_type: Instance | None = Field(None, description="The endpoint's own by default.")
    percent: int = Field(100, ge=1, le=100, description="Of the requests.")


class Front(Part):
    """The function in front of the endpoint."""

    url: bool = Field(False, description="Give it an address, open to whom IAM lets invoke it.")
    shape: Literal["ours", "original"] = Field(
        "ours", description="The answers' shape where an event does not say."
    )


class Training(Part):
    """Training and tuning jobs, and the pipeline."""

    image: Image = Field(description="The image built with VARIANT=train.")
    recipe: Path = Field(description="The recipe by which the pipeline trains.")
    promotion: str = Field(
        "current",
        pattern=r"^[\w.-]+$",
        description="Name of the promotion set in the bucket, below PREFIX/promotion.",
    )
    instance_type: Instance = "ml.c7i.4xlarge"
    volume_gb: int = Field(50, ge=1, le=16384)
    max_hours: float = Field(12, gt=0, le=672)
    spot: bool = True
    wait_hours: float = Field(24, gt=0, le=672, description="For spot instances, training included.")
    evaluation_instance_type: Instance = "ml.c7i.xlarge"
    runs_a_month: float = Field(1, ge=0, description="For the estimate of the cost alone.")

    @model_validator(mode="after")
    def _waits_long_enough(self) -> "Training":
        if self.spot and self.wait_hours < self.max_hours:
            raise ValueError(
                f"`max_hours <= wait_hours` must hold, but got (max_hours={self.max_hours}, wait_hours={self.wait_hours})"
            )
        return self


class Tuning(Part):
    """A tuning job over the [search] of a recipe."""

    strategy: Literal["Bayesian", "Random", "Hyperband", "Grid"] = "Bayesian"
    parallel: int = Field(2, ge=1, le=100)


class Prices(Part):
    """What instances cost: given by you, since Binsight knows no prices."""

    as_of: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="The day on which you looked.")
    source: str = Field(min_length=1, description="Where you looked.")
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    per_hour: dict[str, float] = Field({}, description="By instance type.")
    serverless_per_second: float | None = Field(None, gt=0, description="Of the memory that the endpoint has.")


class Deployment(Part):
    """The whole of `deploy.toml`."""

    name: str = Field(
        max_length=MOST_OF_A_NAME,
        pattern=r"^[a-z0-9](-?[a-z0-9])*$",
        description="The endpoint's name; everything else is named after it. Small letters: policies speak of it so.",
    )
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    account: str = Field("", pattern=r"^(\d{12})?$", description="The image's account by default.")
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: str = Field("binsight", pattern=r"^[\w.-]+(/[\w.-]+)*$", max_length=128)
    image: Image
    bundle: Path = Field(description="The bundle to begin with, as a folder.")
    roles: Roles = Roles()
    endpoint: Endpoint = Endpoint()
    capture: Capture = Capture()
    scaling: Scaling | None = Scaling()
    update: Update = Update()
    shadow: Shadow | None = None
    front: Front | None = None
    training: Training | None = None
    tuning: Tuning = Tuning()
    prices: Prices | None = None
    tags: dict[str, str] = Field({}, max_length=40)

    @model_validator(mode="before")
    @classmethod
    def _no_scaling(cls, fields: Any) -> Any:
        """`scaling = false` for none; TOML has no word for nothing."""
        if isinstance(fields, Mapping) and fields.get("scaling") is False:
            return {**fields, "scaling": None}
        return fields

    @model_validator(mode="after")
    def _goes_together(self) -> "Deployment":
        kind = self.endpoint.kind
        if kind == "serverless":
            for part, has in (("capture", self.capture.percent), ("shadow", self.shadow)):
                if has:
                    raise ValueError(f"a serverless endpoint has no {part}; leave the part out, or take real-time")
        if kind == "asynchronous" and self.shadow:
            raise ValueError("an asynchronous endpoint has no shadow here; leave the part out, or take real-time")
        scaling = self.scaling
        if scaling and kind == "real-time" and scaling.min == 0:
            raise ValueError("scaling.min must be 1 or more for real-time answers; only asynchronous ones wait")
        if scaling and kind == "real-time" and scaling.policy == "invocations" and scaling.max_rps is None:
            raise ValueError(
                "scaling.max_rps must say what one instance bears; measure it with python -m bench.load, or take another "
                "policy"
            )
        if len(self.s3("captures")) > 512:
            raise ValueError("bucket and prefix are too long together")
        return self

    @property
    def account_id(self) -> str:
        return self.account or self.image[:12]

    @property
    def partition(self) -> str:
        """`aws`, and what China's and the government's regions have in its place."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def key(self, *parts: str) -> str:
        """A key in the bucket."""
        return "/".join((self.prefix, *parts))

    def s3(self, *parts: str) -> str:
        """Its address."""
        return f"s3://{self.bucket}/{self.key(*parts)}"

    def arn(self, service: str, resource: str, *, account: bool = True, region: bool = True) -> str:
        """The name of something of ours by which policies speak of it."""
        place = (self.region if region else "", self.account_id if account else "")
        return ":".join(("arn", self.partition, service, *place, resource))

    def role(self, word: Literal["endpoint", "training", "functions", "front"]) -> str:
        """The role's name by which everything refers to it, whether it is there already or made."""
        given: str | None = getattr(self.roles, word)
        return given or self.arn("iam", f"role/{self.role_name(word)}", region=False)

    def role_name(self, word: str) -> str:
        return f"binsight-{self.name}-{word}"


def load_deployment(path: Path) -> Deployment:
    """Read `deploy.toml`. Raises `MissingObject`, or `BadInput` naming every field at fault; paths are as from the file."""
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise MissingObject(
            f"there is no {path}; write one as docs/how-to/deploy-on-sagemaker.md shows, or name another file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not TOML: {error}") from None
    for part, name in ((fields, "bundle"), (fields.get("shadow"), "bundle"), (fields.get("training"), "recipe")):
        if isinstance(part, dict) and isinstance(part.get(name), str):
            part[name] = str(path.parent / part[name])
    return checked(fields, source=str(path))


def checked(fields: Mapping[str, Any], *, source: str) -> Deployment:
    """The fields as a `Deployment`. Raises `BadInput` naming `source` and every field at fault."""
    try:
        return Deployment.model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(map(_sentence, error.errors()))
        raise BadInput(f"{source}: {wrong}") from None


def _sentence(error: Any) -> str:
    field = ".".join(str(part) for part in error["loc"]) or "the file"
    match error["type"]:
        case "extra_forbidden":
            return f"unknown field {field}"
        case "missing":
            return f"{field} is missing"
        case "value_error":
            return str(error["ctx"]["error"])
        case "string_too_long":
            most, length = error["ctx"]["max_length"], len(error["input"])
            return f"{field} must have at most {most} characters, but has {length}; shorten it"
    return f"{field}: {error['msg'].lower()}, but got {error['input']!r}"
