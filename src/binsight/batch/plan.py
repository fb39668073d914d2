"""The plan of a job: the listing, frozen in shards, and what counts them. Made once; whoever comes later follows it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from binsight.batch.places import JOB, Output, Places
from binsight.batch.rows import list_bytes
from binsight.errors import BadInput, MissingObject
from binsight.progress import progress_bar

JOB_FILE = f"{JOB}/job.json"
_WRITES = 8  # lists in flight

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """All that a worker has to know of one shard."""

    number: int
    num_photos: int
    digest: str
    model: str
    read_labels: bool

    @property
    def list_name(self) -> str:
        return _list_name(self.digest)

    @property
    def part(self) -> str:
        """The name of its rows: another list, or another way to count it, has another name."""
        key = sha256(f"{self.digest} {self.model} {self.read_labels}".encode()).hexdigest()[:12]
        return f"part-{self.number:06}-{key}.parquet"


def _list_name(digest: str) -> str:
    return f"{JOB}/photos-{digest[:32]}.parquet"


class Shard(BaseModel):
    """A shard in `job.json`: how many photos, and the checksum of their list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    photos: int = Field(gt=0)
    list: Sha256


class Job(BaseModel):
    """`job.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    photos: str
    model: str
    read_labels: bool
    shards: tuple[Shard, ...]

    @property
    def num_photos(self) -> int:
        return sum(shard.photos for shard in self.shards)

    def tasks(self) -> Iterator[Task]:
        """Every shard, in the order of the listing."""
        for number, shard in enumerate(self.shards):
            yield Task(
                number=number,
                num_photos=shard.photos,
                digest=shard.list,
                model=self.model,
                read_labels=self.read_labels,
            )


def begin(places: Places, *, model: str, read_labels: bool, shard_photos: int) -> Job:
    """The job in `places.out`: the one that was begun there, else a new one, whose listing is now frozen.

    Raises `BadInput` where another job was begun there, `MissingObject` where there is no photo, and as the stores do.
    """
    out = places.open_out()
    if (begun := _begun(out)) is not None:
        return _same(begun, places, model, read_labels)
    shards = tuple(_frozen(places, out, shard_photos))
    if not shards:
        raise MissingObject(f"{places.photos} holds no photo; check the path")
    job = Job(photos=places.photos, model=model, read_labels=read_labels, shards=shards)
    if out.objects.add(JOB_FILE, job.model_dump_json(indent=1).encode()):
        return job
    begun = _begun(out)  # another process was first: its listing is the job's
    assert begun is not None
    return _same(begun, places, model, read_labels)


def _begun(out: Output) -> Job | None:
    if (data := out.read_if_there(JOB_FILE)) is None:
        return None
    try:
        return Job.model_validate_json(data)
    except ValidationError:
        raise BadInput(
            f"{out.url}/{JOB_FILE} is not a job that this Binsight knows; choose another --out, or install a newer one"
        ) from None


def _same(begun: Job, places: Places, model: str, read_labels: bool) -> Job:
    was = (begun.photos, begun.model, begun.read_labels)
    if was == (places.photos, model, read_labels):
        return begun
    raise BadInput(
        f"{places.out} was begun with {_said(*was)}, and cannot go on with "
        f"{_said(places.photos, model, read_labels)}; choose another --out"
    )


def _said(photos: str, model: str, read_labels: bool) -> str:
    return f"{photos} by {model}{' and labels read' if read_labels else ''}"


def _frozen(places: Places, out: Output, shard_photos: int) -> Iterator[Shard]:
    """List the photos and write the list of each shard, a few at a time: memory does not grow with them."""
    listing = places.open_photos().list()
    lists = iter(lambda: list(islice(listing, shard_photos)), [])
    with progress_bar("photos") as bar, ThreadPoolExecutor(_WRITES) as pool:
        shown = bar.add_task("list", total=None)

        def write(data: bytes) -> str:
            digest = sha256(data).hexdigest()
            out.write(_list_name(digest), data)
            return digest

        while some := list(islice(lists, _WRITES)):
            for photos, digest in zip(some, pool.map(write, map(list_bytes, some)), strict=True):
                yield Shard(photos=len(photos), list=digest)
                bar.advance(shown, len(photos))
