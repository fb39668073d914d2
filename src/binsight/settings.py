"""Addresses and limits that come from the environment, every one as `BINSIGHT_<NAME>`.

Reading them touches no disk and no network. Credentials of object stores are not here: they stay in the
store's own variables (`AWS_ACCESS_KEY_ID`, …), which the storage library reads itself.
"""

import json
from collections.abc import Mapping
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from binsight.errors import BadInput


def _from_json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_from_json)]
"""A JSON list in the environment. Decoded here, so that one that is none is at fault like any other wrong value."""
Provider = Literal["auto", "cpu", "openvino", "cuda"]
"""What may run a network."""


class Settings(BaseSettings):
    """All settings, with their defaults. `docs/reference/settings.md` lists them; a test holds it to that."""

    model_config = SettingsConfigDict(env_prefix="BINSIGHT_", frozen=True)

    endpoint_url: str | None = Field(None, description="Address of an S3-compatible server, for every s3:// URL.")
    region: str = Field("us-east-1", description="Region of the buckets named by s3:// URLs.")
    model: Path | None = Field(None, description="Bundle that counts where --model is not given.")
    provider: Provider = Field(
        "auto",
        description="What runs the network: cpu, openvino or cuda, as the installed ONNX Runtime has them; auto takes a "
        "GPU on which the golden photos get their recorded answers, else the CPU.",
    )
    cache_dir: Path = Field(
        Path("~/.cache/binsight"), description="Folder for decoded pixels, safe to delete at any time."
    )
    ledger: str = Field(
        "sqlite:///~/.local/share/binsight/ledger.db",
        description="Database of what must not be lost, as SQLAlchemy names it: SQLite, or postgresql+psycopg://host/name.",
    )
    bundles: str = Field(
        "~/.local/share/binsight/bundles",
        description="Folder or s3:// URL where registered bundles are kept, each under its version.",
    )
    key: SecretStr | None = Field(
        None, description="Key that `binsight count --at` shows the service, where the service asks for one."
    )
    max_photo_bytes: int = Field(
        32 * 1024 * 1024, gt=0, description="A photo file larger than this is refused unread."
    )
    max_photo_pixels: int = Field(
        40_000_000, gt=0, description="A photo whose header names more pixels is refused undecoded."
    )
    allowed_links: Texts = Field(
        (),
        description="Where the service may read photos that are sent as links: s3://BUCKET/, s3://BUCKET/PREFIX/ or "
        "https://HOST/PREFIX/, as a JSON list. Nowhere by default.",
    )
    max_request_bytes: int = Field(
        64 * 1024 * 1024, gt=0, description="A request to the service with a larger body is refused unread."
    )
    max_bytes_together: int = Field(
        256 * 1024 * 1024,
        gt=0,
        description="Requests and linked photos that the service holds at once, in bytes; beyond, it answers 503 before it "
        "reads more. One request of the largest size is always let in.",
    )
    max_connections: int = Field(
        512,
        gt=0,
        description="Connections to the service at once; beyond, the one that has been idle longest is closed.",
    )
    connection_within_s: float = Field(
        10,
        gt=0,
        description="Seconds that a request's head may take to arrive, and its answer to be taken; then the connection is "
        "closed.",
    )
    body_within_s: float = Field(
        30, gt=0, description="Seconds that a request's body may take to arrive; a slower one is answered 408."
    )
    access: Literal["keys", "open"] | None = Field(
        None,
        description="Who may use the service: `keys`, whoever has a key (binsight keys add); `open`, whoever reaches it, "
        "where something in front decides, as SageMaker does. By default open to this machine alone but for /v1/tasks, "
        "and elsewhere keys. Behind a proxy on the same machine set `keys`.",
    )
    open_metrics: bool = Field(False, description="Let /metrics be read without a key.")
    trusted_proxies: Texts = Field(
        (),
        description="Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, as a JSON "
        "list. None by default.",
    )
    max_request_photos: int = Field(32, gt=0, description="Photos in one request to the service, at most.")
    queue_photos: int = Field(
        64,
        gt=0,
        description="Photos that may wait in the service, and so be in one request; beyond, it answers 503 and when to try "
        "again.",
    )
    queue_wait_s: float | None = Field(
        None,
        gt=0,
        description="Seconds that a photo may have to wait, by what photos took lately; beyond, the answer is 503 as "
        "well; and one lane more than there are cores. By default as long as two batches of every lane take.",
    )
    canary_share: float = Field(
        0,
        ge=0,
        le=1,
        description="Share of the requests that the bundle under the alias canary answers, where there is one; needs "
        "binsight serve --follow.",
    )
    shadow_share: float = Field(
        0,
        ge=0,
        le=1,
        description="Share of the requests whose photos the bundle under the alias shadow counts again, unheard; needs "
        "binsight serve --follow.",
    )
    answer_within_s: float = Field(
        30, gt=0, description="Seconds after which the service gives a photo up that is still waiting."
    )
    drain_within_s: float = Field(
        25, gt=0, description="Seconds that the service gives requests under way when it is asked to end."
    )
    capture: str | None = Field(
        None,
        description="Folder or s3:// URL where the service keeps photos and their answers; nothing is kept by default.",
    )
    capture_share: float = Field(
        1, ge=0, le=1, description="Share of the requests that are kept, chosen by their ids: all replicas agree."
    )
    capture_what: Literal["photo+answer", "answer"] = Field(
        "photo+answer", description="What is kept of each photo: `photo+answer`, or `answer` alone."
    )
    capture_layout: Literal["compact", "sagemaker"] = Field(
        "compact",
        description="`compact`: photos as files named by their hash, answers in the ledger. `sagemaker`: JSON lines as "
        "SageMaker's data capture writes them, photos in base64.",
    )
    capture_keep_days: float = Field(
        30, gt=0, le=36500, description="Days after which captures are deleted, counts that were added to them too."
    )
    capture_max_bytes: int = Field(
        10 * 1024**3, gt=0, description="Beyond so many bytes of captures the oldest hours are deleted."
    )
    capture_free_bytes: int = Field(
        256 * 1024**2, ge=0, description="Capture stops where less than this is free on the disk of its folder."
    )
    capture_within_s: float = Field(
        1, gt=0, description="Seconds that an answer waits at most until its capture is safe on the disk."
    )
    capture_endpoint: str = Field(
        "binsight",
        max_length=63,
        pattern=r"^[a-zA-Z0-9](-?[a-zA-Z0-9])*$",
        description="The endpoint's name, the first folder of all captures.",
    )
    capture_variant: str = Field(
        "AllTraffic",
        max_length=63,
        pattern=r"^[a-zA-Z0-9](-?[a-zA-Z0-9])*$",
        description="The variant's name, the folder below: one for each replica group with a model of its own.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            ip_network(address)  # a name, or a typing error, would be trusted by nobody and missed by nobody
        return value

    console_idle_minutes: int = Field(
        60, ge=1, description="Minutes without a page after which a person is signed out of the console."
    )
    console_session_hours: int = Field(
        12, ge=1, description="Hours after which a person has to sign in again, however busy."
    )
    drift_photos: int = Field(
        500, ge=100, description="Photos that the service compares with the model's reference, the last ones."
    )
    alert_urls: Texts = Field(
        (),
        description="Webhooks that the service sends alerts to, as a JSON list: https://, or http:// of this machine.",
    )
    alert_secret: SecretStr | None = Field(
        None, description="Signs alerts (Standard Webhooks): whsec_ and 24 to 64 bytes in base64."
    )
    event_urls: Texts = Field(
        (),
        description="Webhooks that audits tell of what happened (audit.ended, consignment.judged and others), as a JSON "
        "list: https://, or http:// of this machine.",
    )
    event_secret: SecretStr | None = Field(
        None, description="Signs what is told (Standard Webhooks): whsec_ and 24 to 64 bytes in base64."
    )


@cache
def settings() -> Settings:
    """The settings of this process, read once. Raises `BadInput` naming every variable that is at fault."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(_wrong(str(fault["loc"][0]), fault["input"]) for fault in error.errors())
        raise BadInput(f"{wrong}; change it, or unset it for the default") from None


def _wrong(name: str, value: object) -> str:
    """What a setting must be, and what it is."""
    law = _law(Settings.model_json_schema()["properties"][name])
    if name == "trusted_proxies":  # what its validator demands, which no schema says
        law = 'a JSON list of addresses or networks, such as ["10.0.0.0/8"]'
    given = repr(value if isinstance(value, str) else json.dumps(value))
    if name in ("alert_urls", "event_urls"):  # whoever knows a webhook's address may write to it
        given = "not"
    return f"BINSIGHT_{name.upper()} must be {law}, but is {given}"


def _law(schema: Mapping[str, Any]) -> str:
    """What a JSON schema of a field demands, in words."""
    if "anyOf" in schema:  # a value or none
        return _law(schema["anyOf"][0])
    if "enum" in schema:
        return " or ".join(schema["enum"])
    if schema["type"] == "array":
        return 'a JSON list of texts, such as ["one", "two"]'
    kinds = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text"}
    bounds = {
        "exclusiveMinimum": "above {}",
        "minimum": "of at least {}",
        "maximum": "at most {}",
        "maxLength": "of at most {} characters",
        "pattern": "that matches {}",
    }
    said = [words.format(schema[key]) for key, words in bounds.items() if key in schema]
    return " ".join([kinds[schema["type"]], " and ".join(said)]).rstrip()
