"""Render the reference pages from the code that they describe: `./dev docs`.

`docs/reference/commands.md` comes from the commands' own docstrings and options, `docs/reference/settings.md` from
the settings' own descriptions, `docs/reference/recipes.md` and `docs/reference/terms.md` from the fields of recipes and of
retrainings' terms. A test fails where a page is not what this renders.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

REFERENCE = Path(__file__).resolve().parent / "reference"

COMMANDS_HEAD = """\
# Commands

Every command takes `--json` for scripts, shows progress on standard error where somebody watches, can be
interrupted with Ctrl-C and run again, and ends non-zero where its job was not done. An error is one sentence on
standard error. The settings that reach every command are in [settings.md](settings.md).

| exit status | means |
|---|---|
| 0 | the job is done |
| 1 | it is not, or not wholly: the sentences on standard error say what is missing |
| 2 | the command line itself is wrong |
| 130 | interrupted; the same command goes on from there |
"""

SETTINGS_HEAD = """\
# Settings

Addresses and limits come from environment variables. Everything else is an argument or stands in a recipe.

| variable | default | |
|---|---|---|
"""

RECIPES_HEAD = """\
# Recipes

A recipe is a TOML file that decides a training run; Binsight's own are in [recipes/](../../recipes) of its source,
which `pip` does not install. Every field can be given on the command line as well: `binsight train
recipes/default.toml training.epochs=3`. A field left out has the default below. The run folder keeps the whole recipe.
"""

TERMS_HEAD = """\
# Terms of a retraining

A TOML file that decides when `binsight retrain` trains a challenger, from what, and what becomes of it ([how
to](../how-to/retrain.md)). Every field can be given on the command line as well: `binsight retrain retrain.toml
due.counts=500`. A field left out has the default below.
"""

SEARCH_HEAD = """
## [search]

For `binsight tune` alone: which of the fields above are tried with which values
([how to](../how-to/search-for-a-recipe.md)).
"""

SETTINGS_TAIL = """
Credentials of object stores are not among them: they stay in the store's own variables (`AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`) or come from the machine's role; the
storage library reads them itself.
"""


def commands_page() -> str:
    """The page of all commands, in the order of `binsight --help`."""
    from binsight.cli import cli

    return COMMANDS_HEAD + "".join(_section(path, command) for path, command in walk("binsight", cli))


def settings_page() -> str:
    """The page of all settings."""
    from binsight.settings import Settings

    prefix = Settings.model_config["env_prefix"]
    rows = [
        f"| `{(prefix + name).upper()}` | {_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return SETTINGS_HEAD + "\n".join(rows) + "\n" + SETTINGS_TAIL


def recipes_page() -> str:
    """The page of all recipe fields."""
    from binsight.model.recipe import Recipe
    from binsight.model.search import Search

    lines = [RECIPES_HEAD, *_sections(Recipe), SEARCH_HEAD]
    lines += _fields_table("search.", Search.model_fields)
    return "\n".join(lines) + "\n"


def terms_page() -> str:
    """The page of all fields of a retraining's terms."""
    from binsight.lifecycle.terms import Terms

    return "\n".join([TERMS_HEAD, *_sections(Terms)]) + "\n"


def _sections(of: Any) -> Iterator[str]:
    """Tables of a file's fields: those at its top, then those of each section."""
    yield from _fields_table("", {name: f for name, f in of.model_fields.items() if not _is_section(f.annotation)})
    for name, field in of.model_fields.items():
        section = field.annotation
        if _is_section(section):
            yield f"\n## [{name}]\n\n{_escaped(inspect.getdoc(section) or '')}\n"
            yield from _fields_table(f"{name}.", section.model_fields)


def _is_section(annotation: Any) -> bool:
    return hasattr(annotation, "model_fields")


def _fields_table(prefix: str, fields: Mapping[str, Any]) -> list[str]:
    rows = ["| field | default | |", "|---|---|---|"]
    for name, field in fields.items():
        if _is_section(field.annotation):  # one level of inner fields, such as data.preprocessing.size
            default = {} if field.is_required() else field.default.model_dump()
            rows += [
                f"| `{prefix}{name}.{inner}` | `{default[inner]}` | {about.description} |"
                for inner, about in field.annotation.model_fields.items()
            ]
            continue
        default = "required" if field.is_required() else f"`{_plain(field.default)}`"
        rows.append(f"| `{prefix}{name}` | {default} | {_escaped(field.description)} |")
    return rows


def _plain(value: Any) -> Any:
    """A path as it is written in a file."""
    if isinstance(value, tuple):
        return tuple(str(one) if isinstance(one, Path) else one for one in value)
    return value


def walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Every command below `command` with its full name, without the groups themselves."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command, info_name=path)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from walk(f"{path} {name}", child)


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    lines = [f"\n## {path}\n", f"```text\n{usage}\n```\n", _prose(command.help or "")]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    if options:
        lines.append("| option | |\n|---|---|")
        lines += [_row(option, context) for option in options]
    return "\n".join(lines) + "\n"


def _prose(text: str) -> str:
    """A docstring as Markdown: what click leaves unwrapped (after a \\b) becomes a block of text."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text.split("\f")[0])):
        if paragraph.lstrip().startswith("\b"):
            body = inspect.cleandoc(paragraph.lstrip().removeprefix("\b").strip("\n"))
            paragraphs.append(f"```text\n{body}\n```\n")
        else:
            paragraphs.append(_escaped(paragraph) + "\n")
    return "\n".join(paragraphs)


def _escaped(text: str) -> str:
    """`<id>` is meant, not a tag of HTML."""
    return re.sub(r"<(?=\w)", r"\<", text)


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None, f"{option.name} is hidden; a hidden option cannot be documented"
    names, text = (part.replace("|", "\\|") for part in record)
    return f"| `{names}` | {' '.join(_escaped(text).split())} |"


def _default(value: object) -> str:
    return "none" if value is None else f"`{value}`"


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    (REFERENCE / "commands.md").write_text(commands_page(), encoding="utf-8")
    (REFERENCE / "settings.md").write_text(settings_page(), encoding="utf-8")
    (REFERENCE / "recipes.md").write_text(recipes_page(), encoding="utf-8")
    (REFERENCE / "terms.md").write_text(terms_page(), encoding="utf-8")
