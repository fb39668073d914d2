"""How the command line ends: its exit status, and that nothing of it outlives the end."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from binsight.storage.files import written_whole

# An object that the interpreter takes apart last, as it would the threads of a library: it turns the status into 99.
LATE = """
import atexit, os, sys
class Late:
    def __del__(self): os._exit(99)
late = Late()
atexit.register(print, "what was registered ran")
{}
sys.argv = ["binsight", *{!r}]
from binsight.cli import main
main()
"""


def ended(before: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = LATE.format(before, list(arguments))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--version"], 0), (["--no-such-option"], 2), (["count", "no-such-photo.jpg"], 1)],
    ids=["well", "misused", "failed"],
)
def test_a_command_beside_threads_of_obstore_ends_with_its_own_status(arguments: list[str], code: int) -> None:
    """obstore's threads abort the process where they meet an interpreter that is being taken apart."""
    result = ended("import obstore", *arguments)
    assert result.returncode == code
    assert "what was registered ran" in result.stdout
    assert ("binsight, version" in result.stdout) == (code == 0)
    assert bool(result.stderr) == (code != 0)


def test_without_obstore_the_interpreter_ends_as_usual() -> None:
    """This also shows that the test above can fail."""
    assert ended("", "--version").returncode == 99


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-c", "import obstore; from binsight.cli import main; main()", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1  # as click has it


def test_a_reader_that_goes_away_while_a_file_is_written_is_not_told_that_the_disk_is_full(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), written_whole(tmp_path / "verdicts.jsonl"):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("before", ["", "import obstore; "], ids=["alone", "beside obstore"])
def test_output_that_has_no_room_is_a_sentence(before: str) -> None:
    command = [sys.executable, "-c", before + "from binsight.cli import main; main()", "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the output cannot be written (No space left on device)")
    assert done.stderr.count("\n") == 1


def test_without_any_output_a_command_still_runs() -> None:
    command = f"{sys.executable} -c 'import obstore; from binsight.cli import main; main()' --version >&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 0
