"""The command line: one small file per group of commands, loaded only when one of them runs."""

import atexit
import errno
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

import click

from binsight import __version__
from binsight.errors import BinsightError, Stopped


class LazyGroup(click.Group):
    """A group that knows its commands by name and help line, and imports one only to run it.

    `lazy` maps a command's name to (`module:attribute`, help line). The help lines stand here so that
    `--help` imports nothing; a test holds them to the commands' own docstrings.
    """

    def __init__(self, *args: object, lazy: Mapping[str, tuple[str, str]], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return None
        module, attribute = self.lazy[cmd_name][0].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.lazy.items()])


COMMANDS = {
    "demo": ("binsight.cli.demo:demo", "The main job on a small example, with nothing to configure."),
    "count": ("binsight.cli.count:count", "Count the items in photos: an estimate per photo."),
    "serve": (
        "binsight.cli.serve:serve",
        "Answer counts over HTTP, and the console: SageMaker's contract, /v1, /v2, and pages for people.",
    ),
    "audit": ("binsight.cli.audit:audit", "Compare stock records with photos: a verdict each, bins to count."),
    "users": ("binsight.cli.users:users", "People of the console: who counts, who decides, who sets up."),
    "keys": ("binsight.cli.keys:keys", "Give, renew and take away keys to the service."),
    "captures": ("binsight.cli.captures:captures", "What the service kept: photos, answers, counts added later."),
    "models": ("binsight.cli.models:models", "Register models, and say which one is in use."),
    "data": ("binsight.cli.data:data", "Fetch, inspect, prepare and pack photos and records; find doubtful ones."),
    "train": ("binsight.cli.train:train", "Train a network by a recipe: a run folder."),
    "tune": ("binsight.cli.tune:tune", "Search for the best recipe: a study, its report, best.toml."),
    "evaluate": ("binsight.cli.evaluate:evaluate", "Measure a run or bundle on a dataset: a report."),
    "export": (
        "binsight.cli.export:export",
        "Turn a run into a bundle: ONNX, self-contained, parity-checked.",
    ),
    "deploy": (
        "binsight.cli.deploy:deploy",
        "Have it answer, and train, on AWS: from deploy.toml, and away again.",
    ),
    "retrain": (
        "binsight.cli.retrain:retrain",
        "Train a challenger on new counts, and promote it if it is better.",
    ),
    "reference": (
        "binsight.cli.reference:reference",
        "Say which photos drift is measured against: a new bundle of the same model.",
    ),
}


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="binsight")
def cli() -> None:
    """Binsight counts the items in a warehouse bin from one photo and says how sure it is."""


def main() -> None:
    """Run the command line; every error of ours ends as one sentence and a non-zero exit."""
    code = _run()
    if "obstore" in sys.modules or "ray" in sys.modules:
        _leave(code)
    sys.exit(code)


def _run() -> int:
    """Run the command and return its exit status; what failed stands on stderr by then."""
    try:
        return cli.main(standalone_mode=False) or 0
    except SystemExit as end:  # of a command that has said itself how it went
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _failed("interrupted; run the same command again to go on", 130)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Stopped as stop:
        return _failed(str(stop), 130)
    except BinsightError as error:
        return _failed(str(error), 1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # Files are named by errors of their own: this is standard output. What it still holds back would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _failed(
            f"the output cannot be written ({error.strerror}); free space and run the same command again", 1
        )


def _failed(message: str, code: int) -> int:
    click.echo(f"error: {message}", err=True)
    return code


def _leave(code: int) -> NoReturn:
    """End the process without taking the interpreter apart, once all that was registered for the end has run.

    obstore's threads outlive its last answer by a moment. One that asks for the interpreter while it is being
    taken apart aborts the whole process, work done or not (https://github.com/PyO3/pyo3-async-runtimes/issues/40).
    And Ray keeps objects of other libraries, some of which then complain.
    """
    atexit._run_exitfuncs()
    with suppress(ValueError, OSError):  # closed already, or nobody reads it any more
        print(end="", flush=True)
    os._exit(code)
