"""Addresses and limits that come from the environment, every one as `BINSIGHT_<NAME>`.

Reading them touches no disk and no network. Credentials of object stores are not here: they stay in the
store's own variables (`AWS_ACCESS_KEY_ID`, …), which the storage library reads itself.
"""

from functools import cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """All settings, with their defaults. `docs/reference/settings.md` lists them; a test holds it to that."""

    model_config = SettingsConfigDict(env_prefix="BINSIGHT_", frozen=True)

    endpoint_url: str | None = Field(None, description="Address of an S3-compatible server, for every s3:// URL.")
    region: str = Field("us-east-1", description="Region of the buckets named by s3:// URLs.")
    model: Path | None = Field(None, description="Bundle that counts where --model is not given.")
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
    allowed_links: tuple[str, ...] = Field(
        (),
        description="Where the service may read photos that are sent as links: s3://BUCKET/ or s3://BUCKET/PREFIX/, as "
        "a JSON list. Nowhere by default.",
    )
    max_request_bytes: int = Field(
        64 * 1024 * 1024, gt=0, description="A request to the service with a larger body is refused unread."
    )
    max_request_photos: int = Field(32, gt=0, description="Photos in one request to the service, at most.")
    queue_photos: int = Field(
        64, gt=0, description="Photos that may wait in the service; beyond, it answers 503 and when to try again."
    )
    queue_wait_s: float | None = Field(
        None,
        gt=0,
        description="Seconds that a photo may have to wait, by what photos took lately; beyond, the answer is 503 as "
        "well. By default as long as two batches of every lane take.",
    )
    answer_within_s: float = Field(
        30, gt=0, description="Seconds after which the service gives a photo up that is still waiting."
    )
    drain_within_s: float = Field(
        25, gt=0, description="Seconds that the service gives requests under way when it is asked to end."
    )


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
