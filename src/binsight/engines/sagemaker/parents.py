"""The weights that training on SageMaker begins with: the champion's run, from here or from the job that made it.

```
PREFIX/parents/none/learned/datasets.json       training begins as the recipe says
PREFIX/parents/<hash of what is in it>/
├── best.safetensors, recipe.toml, environment.json, bundle.json
└── learned/datasets.json                       the datasets that the weights have seen; written last
```
"""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from binsight.counting.bundle import SPEC_NAME, UNKNOWN, Bundle, file_digest, seen_by
from binsight.dataset.manifest import SUMMARY_NAME, Dataset
from binsight.dataset.push import push_dataset
from binsight.engines.contract import LEARNED, LEARNED_FILE
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.pipeline import NO_PARENT
from binsight.errors import BadInput, BinsightError, MissingObject
from binsight.lifecycle.parents import RECIPE, WEIGHTS, FindRun, Learned, champions_run
from binsight.lifecycle.runner import Say
from binsight.storage.files import folder_written_whole
from binsight.storage.objects import open_store

MODEL, REPORT = "model.tar.gz", "output.tar.gz"
"""What a training job leaves: the bundle, and beside it the report with the best weights."""
KEPT = (WEIGHTS, RECIPE, "environment.json")

Places = Mapping[str, str]
"""Where in the bucket datasets lie, by their hashes."""


def run_finder(d: Deployment, models: Iterable[str], work: Path) -> FindRun:
    """Finds the champion's run here, or else in what the job left that made one of the `models`, by their addresses.

    What is found there is kept in the work folder, where a retraining at home finds it too.
    """
    jobs = [model.removesuffix(MODEL) for model in dict.fromkeys(models)]
    jobs = [job for job in jobs if job.startswith(d.s3("runs/")) and job.endswith("/output/")]

    def find(champion: Path, folders: Iterable[Path]) -> Path:
        try:
            return champions_run(champion, folders)
        except BadInput as error:
            for job in jobs:
                if (found := _run_of_job(d, job, Bundle.open(champion), work)) is not None:
                    return found
            where = f"in {', '.join(jobs)} either" if jobs else f"of a training job below {d.s3('runs')}"
            raise BadInput(f"{error} (nor is it {where})") from None

    return find


def _run_of_job(d: Deployment, job: str, champion: Bundle, work: Path) -> Path | None:
    """What a job left of its run, where it is the run of this bundle."""
    try:
        data = open_store(job, region=d.region).read(REPORT)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            files = {name: _member(tar, name) for name in KEPT}
    except (MissingObject, KeyError):
        return None
    except BinsightError:  # the bucket's, which says itself what failed
        raise
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(f"{job}{REPORT} is damaged ({error}); begin afresh: train.begin=fresh") from None
    if sha256(files[WEIGHTS]).hexdigest() != champion.spec.lineage.get("weights_sha256"):
        return None
    run = work / f"run-{champion.version}"
    with folder_written_whole(run) as part:
        for name, content in files.items():
            (part / name).write_bytes(content)
        # What its recipe names are places within the job; the bundle says what they were.
        (part / SPEC_NAME).write_bytes((champion.folder / SPEC_NAME).read_bytes())
    return run.resolve()


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    for written in (name, f"./{name}"):
        try:
            file = tar.extractfile(written)
        except KeyError:
            continue
        if file is not None:
            return file.read()
    raise KeyError(name)


def send_parent(
    d: Deployment, run: Path | None, champion: Path, learned: Learned, known: Places, *, say: Say
) -> str:
    """Put a run into the bucket, with the datasets that its weights have seen: its address, the same for the same.

    `known` says where further datasets lie. Raises `BadInput` for a dataset that is neither here nor there: no challenger
    that begins with these weights could be compared.
    """
    if run is None:
        return d.s3(*NO_PARENT)
    spec = json.loads((champion / SPEC_NAME).read_text(encoding="utf-8"))
    lineage = spec["lineage"]
    seen = list(dict.fromkeys([*_seen(lineage, run), *learned.hashes]))
    lineage["learned_from"] = [one for one in seen if one != lineage.get("dataset_sha256")]
    places = _places(d, seen, learned, known, say)
    listed = json.dumps({"datasets": [{"sha256": one, "place": place} for one, place in places.items()]}).encode()
    files = {name: run / name for name in KEPT}
    described = json.dumps(spec, sort_keys=True).encode()
    contents = [file_digest(path) for path in files.values()]
    name = sha256(json.dumps([contents, described.decode(), listed.decode()]).encode()).hexdigest()[:16]
    place = d.s3("parents", name)
    store, last = open_store(place, region=d.region, create=True), f"{LEARNED}/{LEARNED_FILE}"
    try:
        store.read(last)
    except MissingObject:
        say(f"the weights that training begins with go to {place}")
        for name, path in files.items():
            store.write(name, path)
        store.write(SPEC_NAME, described)
        store.write(last, listed)
    return place


def _seen(lineage: dict[str, Any], run: Path) -> list[str]:
    """The datasets that the champion's weights have seen. A bundle of before does not say all; its run, which is here, may:
    what its first weights and teachers have seen, `UNKNOWN` among it where that is not known either."""
    if "learned_from" in lineage or (run / SPEC_NAME).is_file():
        return seen_by(lineage)
    from binsight.model.learned import learned_from
    from binsight.model.run import Run

    return [str(lineage.get("dataset_sha256") or UNKNOWN), *learned_from(Run.open(run))]


def _places(d: Deployment, seen: list[str], learned: Learned, known: Places, say: Say) -> dict[str, str]:
    """Where each dataset lies in the bucket; those that are here are put there."""
    if UNKNOWN in seen:
        raise BadInput(
            "the champion has learned from a dataset that nobody knows, so that no challenger that begins with its weights "
            "could be compared: whether it has seen the photos that judge could not be checked; begin afresh: "
            "train.begin=fresh"
        )
    places: dict[str, str] = {}
    for folder in map(Path, learned.folders):
        digest = Dataset.open(folder).digest
        places[digest] = d.s3("prepared", digest[:16])
        if push_dataset(folder, places[digest], region=d.region):
            say(f"{folder}, which the first weights have seen, goes to {places[digest]}")
    for digest in seen:
        if digest in places:
            continue
        found = [
            place
            for place in (d.s3("prepared", digest[:16]), known.get(digest))
            if place and _lies(d, place, digest)
        ]
        if not found:
            raise BadInput(
                f"the champion has learned from the dataset {digest[:12]}…, which is neither here nor below {d.s3()}, so "
                "that no challenger that begins with its weights could be compared; name its folder with train.learned, or "
                "begin afresh: train.begin=fresh"
            )
        places[digest] = found[0]
    return places


def _lies(d: Deployment, place: str, digest: str) -> bool:
    try:
        summary: Any = json.loads(open_store(place, region=d.region, create=True).read(SUMMARY_NAME))
        return bool(summary["sha256"] == digest)
    except (MissingObject, ValueError, KeyError, TypeError):
        return False
