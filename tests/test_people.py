"""Users, sessions and policies: one contract for SQLite and PostgreSQL."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from tests.ledger_support import Opener
from tests.tasks_support import a_user

from binsight.audit.tasks import policy_of, read_policy
from binsight.cli import cli
from binsight.console.passwords import is_right
from binsight.decision.recounts import Policy
from binsight.errors import BadInput, ChangedMeanwhile, MissingObject
from binsight.storage.api_key import stamp
from binsight.storage.ledger import Journal, Ledger, People, Policies, Sessions
from binsight.storage.ledger.journal import hold_end
from binsight.storage.ledger.tables import sessions as session_rows


@pytest.fixture
def ledger(ledger_url: str, opened: Opener) -> Ledger:
    return opened(ledger_url)


def sessions(ledger: Ledger, idle: float = 60, longest: float = 3600) -> Sessions:
    return Sessions(ledger, idle=timedelta(seconds=idle), longest=timedelta(seconds=longest))


def test_users_are_added_and_found_by_name(ledger: Ledger) -> None:
    people = People(ledger)
    assert not people.has_admin()
    ann = people.add("ann", role="admin", password_hash="a hash", by="ann")
    assert people.with_hash("ann") == (ann, "a hash")
    assert people.with_hash("bob") is None
    assert people.all() == [ann]
    assert people.has_admin()


def test_a_name_is_one_persons(ledger: Ledger) -> None:
    a_user(ledger, "ann", "admin")
    with pytest.raises(ChangedMeanwhile, match="there is a user 'ann' already"):
        a_user(ledger, "ann")
    with pytest.raises(ChangedMeanwhile, match="there is an admin already"):
        People(ledger).add("eve", role="admin", password_hash="", by="eve", first_admin=True)


@pytest.mark.parametrize("name", ["", " ann", "a" * 101, "a\nb"])
def test_a_name_that_cannot_be_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(BadInput, match="must be 1 to 100 printable characters"):
        a_user(ledger, name)


def test_a_role_is_one_of_three(ledger: Ledger) -> None:
    with pytest.raises(BadInput, match="a role must be counter, approver, admin, but is 'boss'"):
        a_user(ledger, "ann", "boss")


def test_there_is_always_an_admin(ledger: Ledger) -> None:
    people = People(ledger)
    a_user(ledger, "ann", "admin")
    a_user(ledger, "bob")
    for change in (lambda: people.disable("ann", by="ann"), lambda: people.set_role("ann", "counter", by="ann")):
        with pytest.raises(BadInput, match="there would be no admin left"):
            change()
    people.set_role("bob", "admin", by="ann")
    people.disable("ann", by="bob")
    assert people.with_hash("ann") is None
    people.enable("ann", by="bob")
    assert people.with_hash("ann") is not None
    with pytest.raises(MissingObject, match="there is no user 'eve'"):
        people.disable("eve", by="bob")


def test_who_counts_does_not_stand_in_the_way_of_the_first_admin(ledger: Ledger) -> None:
    people = People(ledger)
    people.known("wms/ben", role="counter")
    assert not people.has_admin()
    people.add("ann", role="admin", password_hash="", by="ann", first_admin=True)
    assert people.has_admin()


def test_a_ledger_without_an_admin_takes_every_change_that_takes_none_away(ledger: Ledger) -> None:
    people = People(ledger)
    a_user(ledger, "ben")
    people.set_password("ben", "another hash", by="root")
    people.set_role("ben", "approver", by="root")
    people.disable("ben", by="root")
    people.enable("ben", by="root")
    found = people.with_hash("ben")
    assert found is not None
    assert (found[0].role, found[1]) == ("approver", "another hash")


def test_two_admins_who_take_each_others_role_leave_one(ledger: Ledger) -> None:
    people, results = People(ledger), list[str]()
    for name in ("ann", "bob"):
        a_user(ledger, name, "admin")

    def demote(name: str, by: str) -> None:
        try:
            people.set_role(name, "counter", by=by)
            results.append("done")
        except BadInput:
            results.append("refused")

    threads = [threading.Thread(target=demote, args=pair) for pair in (("ann", "bob"), ("bob", "ann"))]
    with ledger.writing() as connection:
        hold_end(connection)  # so that both are under way before the first can write
        for thread in threads:
            thread.start()
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    assert sorted(results) == ["done", "refused"]
    assert sum(user.role == "admin" for user in people.all()) == 1


def test_no_password_stands_in_the_journal(ledger: Ledger) -> None:
    People(ledger).add("ann", role="admin", password_hash="a hash", by="ann")
    People(ledger).set_password("ann", "another hash", by="ann")
    entries = list(Journal(ledger).read())
    assert [entry.kind for entry in entries] == ["user.added", "user.password"]
    assert "hash" not in str([entry.body for entry in entries])


def test_a_session_is_its_users_until_it_ends(ledger: Ledger) -> None:
    ann, kept = a_user(ledger, "ann", "admin"), sessions(ledger)
    token = kept.begin(ann)
    assert kept.user_of(token) == ann
    assert kept.user_of(token + "x") is None
    kept.end(token)
    assert kept.user_of(token) is None


def test_a_session_ends_by_itself(ledger: Ledger) -> None:
    ann = a_user(ledger, "ann", "admin")
    assert sessions(ledger, idle=0).user_of(sessions(ledger).begin(ann)) is None
    assert sessions(ledger).user_of(sessions(ledger, longest=0).begin(ann)) is None


def test_what_a_page_sends_by_itself_keeps_nobody_signed_in(ledger: Ledger) -> None:
    kept = sessions(ledger, idle=3600)
    token = kept.begin(a_user(ledger, "ann", "admin"))
    late = stamp(datetime.now(UTC) - timedelta(minutes=55))
    for is_use in (False, True):
        with ledger.writing() as connection:
            connection.execute(sa.update(session_rows).values(used_at=late))
        assert kept.user_of(token, is_use=is_use) is not None
        with ledger.reading() as connection:
            used_at = connection.execute(sa.select(session_rows.c.used_at)).scalar()
        assert (used_at != late) == is_use


@pytest.mark.parametrize("change", ["set_password", "disable"])
def test_who_is_disabled_or_has_a_new_password_is_signed_out(ledger: Ledger, change: str) -> None:
    a_user(ledger, "ann", "admin")
    token = sessions(ledger).begin(a_user(ledger, "bob"))
    given = ("new",) if change == "set_password" else ()
    getattr(People(ledger), change)("bob", *given, by="ann")
    assert sessions(ledger).user_of(token) is None


def test_a_policy_is_set_by_who_saw_the_last(ledger: Ledger) -> None:
    assert policy_of(ledger) == Policy()
    policy = Policy(tolerance_by_class={"C": 2}, approve_units=None)
    kept = Policies(ledger)
    assert kept.set(policy.model_dump(), seen=0, by="ann") == 1
    assert policy_of(ledger) == policy
    with pytest.raises(ChangedMeanwhile, match="somebody else changed the policy meanwhile"):
        kept.set(Policy().model_dump(), seen=0, by="bob")
    newest = kept.newest()
    assert newest is not None
    assert (newest.revision, newest.set_by) == (1, "ann")


def test_what_is_no_policy_is_refused_with_the_field() -> None:
    with pytest.raises(BadInput, match=r"this is no policy \(tolerance: .*; colour: .*\)"):
        read_policy({"tolerance": -1, "colour": "red"})


def test_people_are_added_and_get_new_passwords_by_command(places: dict[str, str]) -> None:
    def run(*arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(cli, ["users", *arguments], input=typed)

    assert run("add", "ann", "--role", "admin", typed="a long password\na long password\n").exit_code == 0
    assert "must have 10 to 200 characters" in str(
        run("add", "bob", "--role", "counter", "--password", "short").exception
    )
    assert [json.loads(line)["role"] for line in run("list", "--json").stdout.splitlines()] == ["admin"]
    assert run("list").stdout == "ann                      admin\n"
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    before = People(ledger).with_hash("ann")
    assert run("password", "ann", "--password", "another password").exit_code == 0
    after = People(ledger).with_hash("ann")
    assert before is not None and after is not None
    assert is_right("a long password", before[1]) and is_right("another password", after[1])
    assert not is_right("a long password", after[1])
    assert isinstance(run("password", "eve", "--password", "another password").exception, MissingObject)
    ledger.close()
