"""The documents say what the code does: commands, settings, links, and README's own code blocks."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from binsight.cli import LazyGroup, cli
from binsight.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CALL = re.compile(r"(?:^|\$\(|&& |\| )(?:[A-Z_]+=\S+ )*(binsight [^#|<>&)\n]*)", re.MULTILINE)
"""A call of the command in a block of shell, to its end or to what the shell makes of the rest."""
RUN = re.compile(r"<!-- (run|not run: [^>]+) -->\n```(sh|python)\n(.*?)```", re.DOTALL)


def _renderer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", ROOT / "docs" / "render.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


render = _renderer()
COMMANDS: list[tuple[str, click.Command]] = list(render.walk("binsight", cli))


def lazy_groups(group: LazyGroup) -> Iterator[tuple[str, str, click.Command]]:
    """(name, help line in the table, command) of every entry of every table."""
    context = click.Context(group)
    for name, (_, line) in group.lazy.items():
        command = group.get_command(context, name)
        assert command is not None
        yield name, line, command
        if isinstance(command, LazyGroup):
            yield from lazy_groups(command)


@pytest.mark.parametrize("page", ["commands", "settings", "recipes", "terms"])
def test_the_reference_is_what_the_code_renders(page: str) -> None:
    rendered = getattr(render, f"{page}_page")()
    assert (ROOT / "docs" / "reference" / f"{page}.md").read_text() == rendered, "run ./dev docs"


def test_every_command_and_option_is_in_the_reference() -> None:
    """Checked against the page's text itself, so that the renderer cannot leave one out of both."""
    sections = (ROOT / "docs" / "reference" / "commands.md").read_text().split("\n## ")
    by_name = {section.split("\n", 1)[0]: section for section in sections}
    for path, command in COMMANDS:
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for name in (*parameter.opts, *parameter.secondary_opts):
                    assert name in by_name[path], f"{path} {name} is not documented"
                assert parameter.help, f"{path} {parameter.opts[0]} has no help"


def test_every_setting_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    for name in Settings.model_fields:
        assert f"`BINSIGHT_{name.upper()}`" in page


@pytest.mark.parametrize(("name", "line", "command"), list(lazy_groups(cli)), ids=lambda value: str(value)[:20])  # type: ignore[arg-type]
def test_the_help_line_in_the_table_is_the_docstrings_first(name: str, line: str, command: click.Command) -> None:
    assert (command.help or "").splitlines()[0] == line
    assert command.name == name


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_every_command_takes_json_and_says_its_result(path: str, command: click.Command) -> None:
    names = {name for parameter in command.params for name in parameter.opts}
    assert "--json" in names
    assert "The result is" in (command.help or ""), path


def calls_in(document: Path) -> list[list[str]]:
    blocks = re.findall(r"^```(?:sh|text)\n(.*?)^```", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [shlex.split(call) for block in blocks for call in CALL.findall(block.replace("\\\n", " "))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_documents_call_is_there(document: Path) -> None:
    options = {
        path: {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for path, command in COMMANDS
    }
    for words in calls_in(document):
        paths = [path for end in range(1, len(words) + 1) if (path := " ".join(words[:end])) in options]
        if not paths and words[1:2] == ["audit"]:
            paths = ["binsight audit run"]  # what is meant where no subcommand is named
        assert paths or words[-1] == "--help", f"{document.relative_to(ROOT)}: there is no {' '.join(words)}"
        given = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
        assert given <= options[paths[-1]] | {"--help"}, f"{document.relative_to(ROOT)}: {' '.join(words)}"


def test_calls_are_found_in_documents() -> None:
    assert sum(len(calls_in(document)) for document in DOCUMENTS) > 100


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_resolve(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            path, _, anchor = target.partition("#")
            linked = document if not path else (document.parent / path).resolve()
            assert linked.exists(), f"{document.relative_to(ROOT)} links to {target}, which is not there"
            if anchor:
                assert anchor in anchors(linked), f"{document.relative_to(ROOT)}: {target} has no such heading"


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_can_be_found_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in seen or document.suffix != ".md":
            continue
        seen.add(document)
        for target in re.findall(r"\]\(([^)\s#]+)", document.read_text()):
            path = (document.parent / target).resolve()
            if path.is_file():
                waiting.append(path)
            elif path.is_dir():
                waiting.extend(path.glob("*.md"))
    assert set(DOCUMENTS) <= seen, {str(path.relative_to(ROOT)) for path in set(DOCUMENTS) - seen}


def tracked_files() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name]


# Spelled so that this file does not find itself.
MACHINE_PATHS = re.compile(rb"(?<![\w.$}<])/(?:work" + rb"|root|home/\w+|Users/\w+)/[\w.]")


def test_no_file_names_a_path_of_one_machine() -> None:
    for path in tracked_files():
        if path.is_file() and (found := MACHINE_PATHS.search(path.read_bytes())):
            raise AssertionError(f"{path.relative_to(ROOT)} holds {found[0]!r}")


def test_the_check_for_machine_paths_can_fail() -> None:
    assert MACHINE_PATHS.search(b"cd /work" + b"/main") and MACHINE_PATHS.search(b"'/home/ann" + b"/bins'")
    assert not MACHINE_PATHS.search(b"binsight/work" + b"/main") and not MACHINE_PATHS.search(
        b"the network/root cause"
    )


def code_blocks() -> list[tuple[str, str, str]]:
    """(marker, language, code) of README's blocks of shell and Python.

    A block to run is preceded by the comment `run`, any other by `not run: ` and the reason, as a comment of HTML.
    """
    return RUN.findall((ROOT / "README.md").read_text())


def test_every_code_block_of_the_readme_is_marked() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(code_blocks()) == len(re.findall(r"^```(?:sh|python)$", readme, flags=re.MULTILINE))
    assert any(marker == "run" and language == "sh" for marker, language, _ in code_blocks())
    assert any(marker == "run" and language == "python" for marker, language, _ in code_blocks())


def test_the_readmes_code_runs(tmp_path: Path) -> None:
    """Its blocks run in their order, in one empty folder, each without an error."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
    }
    for marker, language, code in code_blocks():
        if marker == "run":
            command = ["bash", "-euo", "pipefail", "-c", code] if language == "sh" else [sys.executable, "-c", code]
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
            assert done.stdout.strip(), f"{code} prints nothing"
