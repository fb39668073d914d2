"""Fuzzing that is guided by which lines of the code inputs reach, by atheris (libFuzzer), in slices of a process each.

A slice that dies loses itself alone: what killed it is kept as a file, and the next slice goes on from the corpus.
Pillow's decoders are C without such instrumentation: there the seeds and blind mutation have to do.
"""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

SLICE = 50_000
MAX_BYTES = 64 * 1024
SECONDS_A_CASE = 30
"""A case that takes longer counts as a failure."""
NOTED_EVERY = 500
"""Cases, after which a slice writes down how far it is: what came after that before a crash is not counted."""


@dataclass
class Progress:
    """What was run so far, in a file: the same command goes on from there."""

    cases: int = 0
    seconds: float = 0
    failures: int = 0

    @classmethod
    def of(cls, path: Path) -> "Progress":
        """What the file says; nothing where there is none."""
        return cls(**json.loads(path.read_text())) if path.is_file() else cls()

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)))
        part.replace(path)


def fuzz(target: str, *, cases: int, folder: Path, seeds: Iterable[bytes]) -> Progress:
    """Run the target up to so many cases in all, in this folder."""
    corpus, crashes, state = folder / "corpus", folder / "crashes", folder / "progress.json"
    for made in (corpus, crashes):
        made.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    progress = Progress.of(state)
    while progress.cases < cases:
        begun, noted = time.monotonic(), folder / "slice.json"
        num = min(SLICE, cases - progress.cases)
        Progress().write(noted)
        command = [sys.executable, "-m", "bench.fuzz.guided", target, str(num), str(folder), str(progress.cases)]
        with (folder / "slice.log").open("w") as log:
            ended = subprocess.run(command, stdout=log, stderr=log, check=False)
        progress.cases += Progress.of(noted).cases
        progress.seconds += time.monotonic() - begun
        if ended.returncode:
            progress.failures += 1
            (folder / f"failure-{progress.failures:03}.log").write_bytes((folder / "slice.log").read_bytes())
        progress.write(state)
        rate = progress.cases / progress.seconds
        print(f"{target}: {progress.cases:,} cases, {rate:.0f}/s, {progress.failures} failures", flush=True)
    return progress


def run_slice(target: str, num: int, folder: Path, seed: int) -> None:
    """So many cases in this process; does not return."""
    import atheris

    with atheris.instrument_imports(include=["binsight.imaging", "binsight.service.photos", "PIL", "starlette"]):
        from bench.fuzz.targets import TARGETS
    logging.disable()  # libraries' warnings of bad forms, thousands a second
    run, noted, done = TARGETS[target], folder / "slice.json", 0

    def one(data: bytes) -> None:
        nonlocal done
        run(data)
        done += 1
        if done % NOTED_EVERY == 0 or done == num:
            Progress(cases=done).write(noted)

    options = [f"-runs={num}", f"-max_len={MAX_BYTES}", f"-timeout={SECONDS_A_CASE}", f"-seed={seed + 1}"]
    atheris.Setup(
        [target, *options, "-rss_limit_mb=0", f"-artifact_prefix={folder}/crashes/", str(folder / "corpus")], one
    )
    atheris.Fuzz()


if __name__ == "__main__":
    run_slice(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
