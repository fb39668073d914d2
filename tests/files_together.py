"""Which tests run on one worker: those of one file, and those of files that use the same server.

What a module or a session makes for its tests is made by every worker that runs one of them. The mark `xdist_group` is
no help: it does nothing under pytest 9.2, without a word (https://github.com/pytest-dev/pytest-xdist/issues/1386).
"""

from xdist.scheduler import LoadScopeScheduling

TOGETHER = (
    ("test_fetch.py", "test_fetch_again.py"),
    (
        "test_console.py",
        "test_console_access.py",
        "test_console_forms.py",
        "test_console_blind.py",
        "test_console_bins.py",
    ),
    ("test_promotion_compare.py", "test_promotion_damage.py"),
    ("test_lambda_front.py", "test_sagemaker_client.py"),
)
"""Files that use one server, or one world, of the session."""

_GROUPS = {name: names[0] for names in TOGETHER for name in names}


def group_of(nodeid: str) -> str:
    """What runs on one worker with this test, by the name of a file."""
    name = nodeid.partition("::")[0].rpartition("/")[2]
    return _GROUPS.get(name, name)


class FilesTogether(LoadScopeScheduling):
    """Hands out whole groups of files, in the order in which their tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
