"""The container image, without Docker: its file linted, its steps run, its entry point started as SageMaker starts it."""

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from dockerfile_parse import DockerfileParser
from tests.bundle_support import changed_bundle
from tests.service_support import free_port

from binsight.counting.bundle import DEFAULT_FOLDER, Bundle
from binsight.imaging.drawn import drawn_photo

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")
START_S = 120


def instructions() -> list[tuple[str, str]]:
    parsed = DockerfileParser(fileobj=io.BytesIO(DOCKERFILE.read_bytes()))
    return [(step["instruction"], step["value"]) for step in parsed.structure if step["instruction"] != "COMMENT"]


def value_of(instruction: str) -> str:
    """The value in force: the last."""
    return [value for name, value in instructions() if name == instruction][-1]


def lint(text: str) -> subprocess.CompletedProcess[str]:
    command = [str(HADOLINT), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_hadolint_finds_nothing() -> None:
    done = lint(DOCKERFILE.read_text())
    assert done.returncode == 0, done.stdout
    worse = lint(DOCKERFILE.read_text().replace("python:3.12.12-slim-bookworm", "python"))
    assert "DL3006" in worse.stdout, "and it looks"


def test_the_image_runs_as_nobody_in_particular_and_takes_signals() -> None:
    assert value_of("USER") == "${RUN_AS}"
    user = value_of("ARG").removeprefix("RUN_AS=").split(":")[0]
    assert user.isdecimal() and int(user) > 0, "a number, so that Kubernetes can see that it is not root"
    for instruction in ("ENTRYPOINT", "CMD"):
        assert isinstance(json.loads(value_of(instruction)), list), "a shell in between would swallow SIGTERM"
    assert value_of("STOPSIGNAL") == "SIGTERM"
    bases = {value.split(" ")[0] for name, value in instructions() if name == "FROM"}
    assert len(bases) == 1, "both stages have the Python that the environment was made with"


def test_the_context_holds_what_is_copied_and_little_else() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, value in instructions():
        if name == "COPY" and not value.startswith("--from"):
            for source in value.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(f"{source}/".startswith(f"{one}/") or one.startswith(source) for one in allowed), source
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()


@contextmanager
def started(*command: str, env: Mapping[str, str], opt_ml: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The entry point as a process, once it is ready, with a tree of its own in place of /opt/ml."""
    port = free_port()
    environment = {**os.environ, **env, "SAGEMAKER_BASE_DIR": str(opt_ml)}
    entry = [str(ROOT / "deploy" / "entrypoint.sh"), *command, "--port", str(port)]
    with subprocess.Popen(entry, env=environment, stderr=subprocess.PIPE, text=True) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            end = time.monotonic() + START_S
            while True:
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < end, "the service does not get ready"
                try:
                    if httpx.get(f"{url}/ping").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
            yield process, url
        finally:
            process.kill()


HERE = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
"""This environment in place of the image's."""


def test_the_model_that_sagemaker_unpacked_is_served_and_sigterm_ends_it(tmp_path: Path) -> None:
    bundle = changed_bundle(tmp_path / "ml" / "model", "card.md", b"another model")
    with started("serve", env=HERE, opt_ml=tmp_path / "ml") as (process, url):
        (model,) = httpx.get(f"{url}/v1/models").json()["models"]
        assert model["version"] == Bundle.open(bundle).version != Bundle.open(DEFAULT_FOLDER).version
        check = json.loads(value_of("HEALTHCHECK").partition("CMD")[2])
        check[0], check[-1] = sys.executable, check[-1].replace("http://127.0.0.1:8080", url)
        assert subprocess.run(check, check=False).returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert subprocess.run(check, stderr=subprocess.DEVNULL, check=False).returncode != 0


def entry(*command: str, opt_ml: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **HERE, **env, "SAGEMAKER_BASE_DIR": str(opt_ml)}
    script = str(ROOT / "deploy" / "entrypoint.sh")
    return subprocess.run([script, *command], env=environment, capture_output=True, text=True, check=False)


def test_files_that_are_no_bundle_are_not_passed_over(tmp_path: Path) -> None:
    """The model that comes with the package would answer, and nobody would notice."""
    (tmp_path / "model" / "bundle").mkdir(parents=True)
    done = entry("serve", opt_ml=tmp_path)
    assert done.returncode == 1 and "put a bundle's files at the root of model.tar.gz" in done.stderr


def test_train_alone_is_sagemakers_job_and_with_a_recipe_the_command(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    done = entry("train", opt_ml=tmp_path)
    assert done.returncode == 1 and "a channel dataset, but has none" in done.stderr
    assert "a channel dataset" in (tmp_path / "output" / "failure").read_text()
    assert "RECIPE" in entry("train", "--help", opt_ml=tmp_path).stdout


def test_any_other_command_is_binsights_own(tmp_path: Path) -> None:
    assert "binsight, version" in entry("--version", opt_ml=tmp_path).stdout
    assert entry("no-such-command", opt_ml=tmp_path).returncode == 2


@pytest.mark.slow
def test_the_steps_of_the_image_make_a_service_that_counts(tmp_path: Path) -> None:
    """The build stage's own COPY and RUN lines in empty folders, then the entry point on what they installed."""
    build, installed = tmp_path / "build", tmp_path / "installed"
    build.mkdir()
    steps = instructions()
    last = [number for number, (name, _) in enumerate(steps) if name == "FROM"][1]
    for name, value in steps[:last]:
        if name == "COPY":
            *sources, target = value.split()
            for source in sources:
                copy(ROOT / source, build / target if len(sources) == 1 else build / target / source)
        elif name == "RUN":
            command = value.replace("/opt/binsight", shlex.quote(str(installed)))
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=build,
                env={**os.environ, "VARIANT": "cpu", "PYTHONPATH": ""},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    path = f"{installed / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    (tmp_path / "ml").mkdir()  # as in SageMaker, which decides who may ask
    with started("serve", env=env, opt_ml=tmp_path / "ml") as (_, url):
        photo = drawn_photo(3, seed=3)
        answer = httpx.post(f"{url}/invocations", content=photo, headers={"content-type": "image/jpeg"}, timeout=60)
        assert answer.status_code == 200 and len(answer.json()["probs"]) > 5
    assert not list(installed.glob("lib/python*/site-packages/torch*")), "nothing that trains is in the image"
    assert not list(installed.glob("bin/pip*"))


def copy(source: Path, target: Path) -> None:
    """As COPY does: a folder's contents into the target, a file to it, or into it where it ends with a slash."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target = target / source.name if target.suffix == "" and source.suffix else target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
