"""The tutorial's commands, one after the other in an empty folder, on real photos from a real S3 server."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.s3_server import PUBLIC_BUCKET, abid_objects, running_s3_server
from tests.tasks_support import a_user, by_policy

from binsight.storage.ledger import PHOTO, Counts, Leases, Ledger, Outcomes

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"<!-- (run|run after people counted) -->\n```sh\n(.*?)```", re.DOTALL)
NUM_PHOTOS = 2600
"""As far as the ids that the tutorial fetches go."""


def run(code: str, folder: Path, environment: dict[str, str]) -> str:
    command = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def count_a_dozen(url: str, records: Path) -> None:
    """What somebody does on the console, as the record says."""
    with records.open(newline="") as file:
        expected = {row["bin_id"]: int(row["expected_qty"]) for row in csv.DictReader(file)}
    ledger = Ledger.open(url)
    person = a_user(ledger, "bea")
    for lease in Leases(ledger).claim(person.id, where=PHOTO, seconds=600, most=12):
        number = expected[lease.task.bin_id]
        Counts(ledger).add(lease.token, number, user=person.id, name=person.name, rule=by_policy())
        Outcomes(ledger).settled(lease.task.id)
    ledger.close()


@pytest.mark.slow
def test_the_tutorial_runs_as_it_is_written(abid: Path, tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text())
    assert [marker for marker, _ in blocks].count("run after people counted") == 1
    folder = tmp_path / "tutorial"
    folder.mkdir()
    shutil.copy(ROOT / "recipes" / "tutorial.toml", folder)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "BINSIGHT_CACHE_DIR": str(tmp_path / "cache"),
        # The first block exports these for the shell that goes on; each block here is a shell of its own.
        "BINSIGHT_LEDGER": f"sqlite:///{folder}/tutorial.db",
        "BINSIGHT_BUNDLES": str(folder / "models"),
    }
    said = ""
    with running_s3_server(tmp_path / "s3") as server:
        server.put(PUBLIC_BUCKET, abid_objects(abid, NUM_PHOTOS))
        environment["BINSIGHT_ENDPOINT_URL"] = server.endpoint_url
        for marker, code in blocks:
            if marker == "run after people counted":
                count_a_dozen(environment["BINSIGHT_LEDGER"], folder / "records.csv")
            version = re.search(r"([0-9a-f]{12}) \(\S+\) is registered", said)
            said += run(code.replace("VERSION", version[1] if version else ""), folder, environment)
    assert re.search(r"(keep|promote)", said[said.rindex("is registered") :]), said
