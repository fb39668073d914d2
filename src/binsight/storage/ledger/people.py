"""People who use the console, and their sessions. Passwords are here as hashes alone, session tokens too."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from binsight.errors import BadInput, ChangedMeanwhile, MissingObject
from binsight.storage.api_key import hash_of, stamp
from binsight.storage.ledger.database import Ledger, inserted
from binsight.storage.ledger.journal import append, hold_end
from binsight.storage.ledger.tables import sessions, users

COUNTER, APPROVER, ADMIN = "counter", "approver", "admin"
ROLES = (COUNTER, APPROVER, ADMIN)
"""Who counts, and sees no record before; who sees all and decides, and does not count; who does that and sets up."""
MOST_NAME = 100
_TOUCH_S = 60
"""A session's last use is kept to the minute, so that reading a page seldom writes."""
_IS_ADMIN = (users.c.role == ADMIN) & users.c.disabled_at.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who may sign in, unless disabled. Moments are UTC in ISO 8601."""

    id: str
    name: str
    role: str
    created_at: str
    created_by: str
    disabled_at: str | None


class People:
    """The users of a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(self, name: str, *, role: str, password_hash: str, by: str, first_admin: bool = False) -> User:
        """A new user. Raises `BadInput` for a name or a role that cannot be, `ChangedMeanwhile` for a name that is taken,
        or, with `first_admin`, where there is an admin already."""
        _check(name, role)
        user = User(
            id=secrets.token_hex(6),
            name=name,
            role=role,
            created_at=stamp(datetime.now(UTC)),
            created_by=by,
            disabled_at=None,
        )
        row = {column: getattr(user, column) for column in User.__slots__} | {"password_hash": password_hash}
        with self._ledger.writing() as connection:
            hold_end(connection)  # of two first admins at once, the second finds one there
            if first_admin and _has_admin(connection):
                raise ChangedMeanwhile("there is an admin already; ask for an account")
            if not inserted(connection, sa.insert(users).values(row)):
                raise ChangedMeanwhile(f"there is a user {name!r} already; choose another name")
            append(connection, kind="user.added", subject=name, body={"role": role}, by=by)
        return user

    def known(self, name: str, *, role: str) -> User:
        """The user of this name, who is added with a password that opens nothing where there is none.

        For people of another system, which answers for who they are. Raises `BadInput` as `add`.
        """
        query = sa.select(users).where(users.c.name == name)
        with self._ledger.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            try:
                return self.add(name, role=role, password_hash="-", by=name)  # noqa: S106 - no hash is like it
            except ChangedMeanwhile:  # somebody else added him at this moment
                return self.known(name, role=role)
        return _user(row)

    def all(self) -> list[User]:
        """Every user there ever was, by name."""
        with self._ledger.reading() as connection:
            return [_user(row) for row in connection.execute(sa.select(users).order_by(users.c.name))]

    def has_admin(self) -> bool:
        """Whether anybody can set up. People of other systems, who count without ever signing in, cannot."""
        with self._ledger.reading() as connection:
            return _has_admin(connection)

    def with_hash(self, name: str) -> tuple[User, str] | None:
        """A user by name and his password's hash; None for nobody, and for one who is disabled."""
        query = sa.select(users).where((users.c.name == name) & users.c.disabled_at.is_(None))
        with self._ledger.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else (_user(row), row.password_hash)

    def set_role(self, name: str, role: str, *, by: str) -> None:
        """Change what a user may do, at once. Raises `BadInput`, and `MissingObject` for nobody."""
        _check(name, role)
        self._change(name, {"role": role}, kind="user.role", by=by)

    def set_password(self, name: str, password_hash: str, *, by: str) -> None:
        """Change a password, and end all sessions that were begun with the old one. Raises `MissingObject`."""
        self._change(name, {"password_hash": password_hash}, kind="user.password", by=by)

    def disable(self, name: str, *, by: str) -> None:
        """Let a user in no more, and end his sessions. Raises `MissingObject`; `BadInput` for the last admin."""
        self._change(name, {"disabled_at": stamp(datetime.now(UTC))}, kind="user.disabled", by=by)

    def enable(self, name: str, *, by: str) -> None:
        """Let a user in again. Raises `MissingObject`."""
        self._change(name, {"disabled_at": None}, kind="user.enabled", by=by)

    def _change(self, name: str, values: dict[str, Any], *, kind: str, by: str) -> None:
        with self._ledger.writing() as connection:
            hold_end(connection)  # of two admins who lock each other out at once, the second finds himself the last
            had_admin = _has_admin(connection)
            changed = connection.execute(sa.update(users).where(users.c.name == name).values(values))
            if changed.rowcount != 1:
                raise MissingObject(f"there is no user {name[:40]!r}; see the list of users")
            if had_admin and not _has_admin(connection):
                raise BadInput("there would be no admin left; make somebody else an admin first")
            if kind in ("user.password", "user.disabled"):
                theirs = sa.select(users.c.id).where(users.c.name == name)
                connection.execute(sa.delete(sessions).where(sessions.c.user.in_(theirs)))
            body = {field: value for field, value in values.items() if field != "password_hash"}
            append(connection, kind=kind, subject=name, body=body, by=by)


class Sessions:
    """Who is signed in. A token is 256 random bits; the ledger keeps its hash."""

    def __init__(self, ledger: Ledger, *, idle: timedelta, longest: timedelta) -> None:
        self._ledger, self._idle, self._longest = ledger, idle, longest

    def begin(self, user: User) -> str:
        """Sign a user in; what the browser has to send from now on. Sessions that ended are cleared away."""
        token, now = secrets.token_urlsafe(32), datetime.now(UTC)
        row = {
            "token_hash": hash_of(token),
            "user": user.id,
            "created_at": stamp(now),
            "used_at": stamp(now),
            "expires_at": stamp(now + self._longest),
        }
        with self._ledger.writing() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.expires_at <= stamp(now)))
            connection.execute(sa.insert(sessions).values(row))
        return token

    def user_of(self, token: str, *, is_use: bool = True) -> User | None:
        """Who sends this token; None where nobody does, or not any more. What a page sends by itself is no use of the
        session, which then ends as if nothing had been sent."""
        now, hashed = datetime.now(UTC), hash_of(token)
        alive = (
            (sessions.c.token_hash == hashed)
            & (sessions.c.expires_at > stamp(now))
            & (sessions.c.used_at > stamp(now - self._idle))
            & users.c.disabled_at.is_(None)
        )
        query = sa.select(users, sessions.c.used_at).join(sessions, sessions.c.user == users.c.id).where(alive)
        with self._ledger.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        if is_use and row.used_at < stamp(now - timedelta(seconds=_TOUCH_S)):
            with self._ledger.writing() as connection:
                used = sa.update(sessions).where(sessions.c.token_hash == hashed).values(used_at=stamp(now))
                connection.execute(used)
        return _user(row)

    def end(self, token: str) -> None:
        """Sign out."""
        with self._ledger.writing() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.token_hash == hash_of(token)))


def _check(name: str, role: str) -> None:
    if not name.strip() or name != name.strip() or len(name) > MOST_NAME or not name.isprintable():
        raise BadInput(
            f"a user's name must be 1 to {MOST_NAME} printable characters, but is {name[:40]!r}; choose another"
        )
    if role not in ROLES:
        raise BadInput(f"a role must be {', '.join(ROLES)}, but is {role[:40]!r}; choose one of them")


def _has_admin(connection: sa.Connection) -> bool:
    return connection.execute(sa.select(users.c.id).where(_IS_ADMIN).limit(1)).first() is not None


def _user(row: "sa.Row[Any]") -> User:
    return User(**{column: getattr(row, column) for column in User.__slots__})
