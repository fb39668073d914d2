"""What holds the house together: the arrows between rooms, the weight of imports, the public names."""

import ast
import importlib
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

import binsight
from binsight.cli import cli
from binsight.cli.options import MODULES
from binsight.errors import MissingExtra

SOURCE = Path(binsight.__file__).parent

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"cli"}),
    frozenset({"engines"}),
    frozenset({"console", "lifecycle"}),
    frozenset({"service", "audit", "batch"}),
    frozenset({"model"}),
    frozenset({"counting", "decision", "dataset"}),
    frozenset({"imaging", "storage", "report"}),
    frozenset({"client", "lambda_front", "webhooks"}),
    frozenset({"records", "errors", "settings", "progress", "processes", "poller"}),
)
"""From the roof down. Arrows run downwards only, and none runs along a floor but the lowest, whose modules are
single files: records may raise the errors."""

TRAINING = frozenset({"torch", "torchvision", "timm", "lightning", "lightning_fabric"})
"""Only `model` imports these."""

FORBIDDEN: dict[str, frozenset[str]] = {
    "counting": frozenset({"pyarrow", "matplotlib", "scipy", "imagehash"}),
    "decision": frozenset({"matplotlib", "PIL", "onnxruntime"}),
    "imaging": frozenset({"onnxruntime", "pyarrow", "matplotlib"}),
    "client": frozenset({"numpy", "PIL", "pydantic"}),
    "webhooks": frozenset({"numpy", "PIL", "httpx"}),
    "lambda_front": frozenset({"numpy", "PIL", "pydantic", "httpx"}),
    "records": frozenset({"numpy", "PIL", "pydantic"}),
    "errors": frozenset({"numpy", "PIL", "pydantic"}),
}
"""Libraries that a room does without, so that it stays light wherever it is installed."""


def room_of(module: str) -> str:
    """`imaging` for `binsight.imaging.decode`, "" for the package itself."""
    return [*module.split("."), ""][1]


def floor_of(room: str) -> int:
    for level, rooms in enumerate(FLOORS):
        if room in rooms:
            return level
    raise AssertionError(f"{room} stands on no floor of FLOORS; give it one, here and in docs/decisions/0001")


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Every import of a file with its line, those within functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by the full name, not by dots"
            assert node.module is not None
            if node.module == "binsight":
                for alias in node.names:
                    yield node.lineno, f"binsight.{alias.name}"
            else:
                yield node.lineno, node.module


def wrong_arrows(source: Path) -> list[str]:
    """Every import in the package at `source` that the house forbids, as one line that says why."""
    found = []
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        room = parts[0]
        if room == "__init__":
            continue
        for line, module in imported_modules(path):
            where = f"{path.relative_to(source)}:{line}"
            library = module.split(".")[0]
            if library == "binsight":
                target = room_of(module)
                if target in ("__version__", room):
                    continue
                here, there = floor_of(room), floor_of(target)
                is_ground = here == there == len(FLOORS) - 1
                if there < here or (there == here and not is_ground):
                    found.append(f"{where}: {room} must not import {target}")
            elif library in TRAINING and room != "model":
                found.append(f"{where}: only model imports {library}")
            elif library in FORBIDDEN.get(room, frozenset()):
                found.append(f"{where}: {room} must not import {library}")
    return found


def test_arrows_run_downwards_only() -> None:
    assert wrong_arrows(SOURCE) == []


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("imaging/decode.py", "from binsight.cli import cli", "imaging must not import cli"),
        (
            "counting/__init__.py",
            "def f():\n    import binsight.dataset.manifest",
            "counting must not import dataset",
        ),
        ("decision/__init__.py", "from binsight import counting", "decision must not import counting"),
        ("counting/__init__.py", "def f():\n    import torch", "only model imports torch"),
        ("cli/__init__.py", "import timm.layers", "only model imports timm"),
        ("counting/__init__.py", "from pyarrow import parquet", "counting must not import pyarrow"),
        ("errors.py", "import numpy", "errors must not import numpy"),
    ],
)
def test_a_wrong_arrow_is_found(tmp_path: Path, file: str, line: str, complaint: str) -> None:
    """The check itself can fail: a violation put into a copy is named, and it alone."""
    copy = tmp_path / "binsight"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.onnx", "*.jpg"))
    with (copy / file).open("a", encoding="utf-8") as target:
        target.write(f"\n\n{line}\n")
    found = wrong_arrows(copy)
    assert len(found) == 1, found
    assert complaint in found[0]


HEAVY = (
    *("torch", "torchvision", "timm", "lightning_fabric", "boto3", "ray"),
    *("numpy", "PIL", "onnxruntime", "pydantic", "obstore", "pyarrow", "matplotlib", "scipy", "rich", "jinja2"),
)


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running `code`."""
    script = (
        "import contextlib, io, sys\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        + "".join(f"    {line}\n" for line in code.splitlines())
        + "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HELP = "import sys\nsys.argv = ['binsight', {}]\nfrom binsight.cli import main\nmain()"


@pytest.mark.parametrize(
    "code",
    ["import binsight", HELP.format("'--help'"), HELP.format("'data', '--help'")],
    ids=["import binsight", "binsight --help", "binsight data --help"],
)
def test_help_and_the_package_load_nothing_heavy(code: str) -> None:
    loaded = loaded_after(code)
    assert "binsight" in loaded
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)


def test_counting_loads_nothing_that_trains_or_reports() -> None:
    """A counter runs where only the base install is."""
    loaded = loaded_after("from binsight.counting import Counter")
    assert "binsight" in loaded
    assert loaded.isdisjoint({*TRAINING, "pyarrow", "matplotlib", "scipy", "imagehash", "boto3", "ray", "jinja2"})


def test_serving_loads_nothing_that_trains_or_reports() -> None:
    loaded = loaded_after("from binsight.service.app import make_app")
    assert "fastapi" in loaded
    assert loaded.isdisjoint({*TRAINING, "pyarrow", "matplotlib", "scipy", "imagehash", "boto3", "ray"})


def test_what_is_asked_of_aws_can_be_planned_without_its_library() -> None:
    """Only the door itself opens boto3, and checking a plan reads botocore's descriptions alone."""
    loaded = loaded_after("from binsight.engines.sagemaker import apply, cost, destroy, plan, template, transform")
    assert "binsight" in loaded
    assert loaded.isdisjoint({*TRAINING, "boto3", "botocore", "matplotlib", "pyarrow"})


def test_comparing_models_loads_nothing_that_trains() -> None:
    """A challenger may be judged where the service runs."""
    loaded = loaded_after("from binsight.lifecycle import judge, prune, sagemaker_package, mlflow_model")
    assert "sqlalchemy" in loaded
    assert loaded.isdisjoint({*TRAINING, "boto3", "ray", "mlflow", "onnx"})


def test_a_plain_service_loads_nothing_for_what_it_was_not_told_to_do() -> None:
    """Without a ledger and links it is ready sooner: for the sake of constants it once loaded their libraries."""
    loaded = loaded_after(
        "from binsight.cli import serve\nfrom binsight.service import app, server\napp.make_app()"
    )
    assert "fastapi" in loaded
    assert loaded.isdisjoint({"sqlalchemy", "alembic", "obstore", "httpcore", "websockets"})


def test_the_weight_check_sees_what_is_loaded() -> None:
    assert {"numpy", "binsight"} <= loaded_after("import binsight, numpy")


def rooms() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules([str(SOURCE)]) if module.ispkg)


def test_every_room_stands_on_a_floor() -> None:
    modules = {module.name for module in pkgutil.iter_modules([str(SOURCE)])}
    assert {room for room in modules if any(room in floor for floor in FLOORS)} == modules


@pytest.mark.parametrize("room", rooms())
def test_public_names_are_there_and_documented(room: str) -> None:
    """What a room offers stands in its `__all__`, once; every name is there and has a docstring."""
    if room == "model":
        pytest.importorskip("torch")
    module = importlib.import_module(f"binsight.{room}")
    assert module.__doc__
    names = list(getattr(module, "__all__", ()))
    assert len(set(names)) == len(names)
    for name in names:
        value = getattr(module, name)
        assert value.__doc__ or not callable(value), f"binsight.{room}.{name} has no docstring"
    of_this_room = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and str(getattr(value, "__module__", "")).startswith(f"binsight.{room}.")
    }
    assert of_this_room <= set(names), f"binsight.{room} imports {of_this_room - set(names)} without offering them"


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("data inspect bins", "data"),
        ("data prepare bins dataset", "data"),
        ("data suspects dataset recipe.toml", "train"),
        ("evaluate bundle dataset", "data"),
        ("train recipe.toml", "train"),
        ("export run bundle", "train"),
        ("serve", "serve"),
        ("deploy sagemaker", "aws"),
        ("deploy destroy", "aws"),
        ("deploy train recipe.toml s3://b/d", "aws"),
        ("models compare bundle --on dataset", "data"),
        ("models list", "ledger"),
        ("count photos --out estimates", "batch"),
    ],
)
def test_a_command_whose_extra_is_missing_says_how_to_install_it(
    command: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any work, and not as a failure of a worker process that could not import something."""
    monkeypatch.setattr("binsight.cli.options.find_spec", lambda module: None)
    result = CliRunner().invoke(cli, command.split())
    assert isinstance(result.exception, MissingExtra)
    assert f"pip install 'binsight[{extra}]'" in str(result.exception)


def test_every_extra_brings_the_modules_that_its_commands_ask_for() -> None:
    in_dev = [modules for extra, modules in MODULES.items() if extra not in ("ray", "ray-serve")]
    assert all(find_spec(module) for modules in in_dev for module in modules)
