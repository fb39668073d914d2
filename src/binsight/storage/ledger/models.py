"""Versions of models, and the aliases that point at them: changed by compare-and-swap alone, each move a row for good."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from binsight.errors import ChangedMeanwhile, MissingObject
from binsight.storage.ledger.database import Ledger, inserted
from binsight.storage.ledger.lineage import columns_of, parent_of
from binsight.storage.ledger.removal import kept_for
from binsight.storage.ledger.tables import alias_moves, aliases, model_versions


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A registered bundle. Moments are UTC in ISO 8601; `lineage` is the bundle's own.

    The dataset, the recipe, the weights, the commit and the version of the code are columns of their own where the bundle
    names them; `parent` is the registered version whose weights it began with. `removed_at` says that the bundle's files
    were removed and by whom; the row stays.
    """

    version: str
    name: str
    registered_at: str
    registered_by: str
    lineage: Mapping[str, Any]
    dataset_sha256: str | None = None
    recipe_sha256: str | None = None
    weights_sha256: str | None = None
    git: str | None = None
    code: str | None = None
    parent: str | None = None
    removed_at: str | None = None
    removed_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointed:
    """Where an alias points, after `revision` moves."""

    alias: str
    version: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasMove:
    """One move of an alias; `from_version` is None where it pointed nowhere, `to_version` where it was retired.

    Ledgers of before have rows from a version to itself, made by promoting what was promoted: `changed` is False for these.
    """

    alias: str
    revision: int
    from_version: str | None
    to_version: str | None
    moved_at: str
    moved_by: str
    reason: str

    @property
    def changed(self) -> bool:
        """Whether the alias pointed elsewhere before."""
        return self.from_version != self.to_version

    @property
    def reached(self) -> Pointed | None:
        """Where the alias points after this move."""
        if self.to_version is None:
            return None
        return Pointed(alias=self.alias, version=self.to_version, revision=self.revision)


class Models:
    """The model tables of a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def close(self) -> None:
        """Give the ledger's connections back."""
        self._ledger.close()

    def add(self, version: str, *, name: str, lineage: Mapping[str, Any], by: str) -> ModelVersion:
        """Register a version; one that is there stays as it is, since versions are named by content.

        One whose files were removed has them again.
        """
        row: dict[str, str | None] = {
            "version": version,
            "name": name,
            "registered_at": _now(),
            "registered_by": by,
            "lineage": json.dumps(lineage, sort_keys=True),
        }
        table = model_versions
        query = sa.select(table).where(table.c.version == version)
        with self._ledger.writing() as connection:
            if connection.execute(query).first() is None:
                known = connection.execute(sa.select(table.c.version, table.c.weights_sha256))
                weights = {one.version: one.weights_sha256 for one in known}
                row |= columns_of(lineage) | {"parent": parent_of(version, lineage, weights)}
                inserted(connection, sa.insert(table).values(row))  # or somebody else did at this moment
            removed = (table.c.version == version) & table.c.removed_at.is_not(None)
            connection.execute(sa.update(table).where(removed).values(removed_at=None, removed_by=None))
            return _version(connection.execute(query).one())

    def kept_for(self, version: str, *, since: str) -> str:
        """Why the files of a version are not to be removed, as a clause; empty where they may be."""
        with self._ledger.reading() as connection:
            return kept_for(connection, version, since)

    def remove(self, version: str, *, since: str, by: str) -> str:
        """Mark a version as one whose files are removed, unless they are needed: why as `kept_for`, or empty.

        No alias can be moved to it from then on; none is while it is looked at.
        """
        with self._ledger.writing() as connection:
            _held(connection, version)
            if reason := kept_for(connection, version, since):
                return reason
            values = {"removed_at": _now(), "removed_by": by}
            unmarked = (model_versions.c.version == version) & model_versions.c.removed_at.is_(None)
            connection.execute(sa.update(model_versions).where(unmarked).values(values))
        return ""

    @property
    def ledger(self) -> Ledger:
        """The ledger that these tables are in."""
        return self._ledger

    def versions(self) -> list[ModelVersion]:
        """All versions, the newest first."""
        query = sa.select(model_versions).order_by(model_versions.c.registered_at.desc(), model_versions.c.version)
        with self._ledger.reading() as connection:
            return [_version(row) for row in connection.execute(query)]

    def pointed(self) -> dict[str, Pointed]:
        """Every alias that points somewhere, by name."""
        query = sa.select(aliases).where(aliases.c.version.is_not(None)).order_by(aliases.c.alias)
        with self._ledger.reading() as connection:
            rows = connection.execute(query)
            return {row.alias: Pointed(alias=row.alias, version=row.version, revision=row.revision) for row in rows}

    def moves(self, alias: str) -> list[AliasMove]:
        """Every move of an alias, the newest first."""
        query = sa.select(alias_moves).where(alias_moves.c.alias == alias).order_by(alias_moves.c.revision.desc())
        with self._ledger.reading() as connection:
            return [AliasMove(**row._mapping) for row in connection.execute(query)]

    def moves_of(self, version: str) -> list[AliasMove]:
        """Every move of any alias to or from a version, the newest first."""
        of_it = (alias_moves.c.from_version == version) | (alias_moves.c.to_version == version)
        query = sa.select(alias_moves).where(of_it).order_by(alias_moves.c.moved_at.desc())
        with self._ledger.reading() as connection:
            return [AliasMove(**row._mapping) for row in connection.execute(query)]

    def move(self, alias: str, to: str, *, seen: Pointed | None, by: str, reason: str) -> Pointed:
        """Point an alias at a version, if it still points where it was `seen` to (None: nowhere).

        The move and its row are one transaction. Where it points at that version already, that is no move: it has no row,
        and a rollback goes where it would have gone. Raises `ChangedMeanwhile` where the alias was moved since, and
        `MissingObject` for a version that is not registered, or whose files were removed.
        """
        with self._ledger.writing() as connection:
            found = _held(connection, to)
            if found is None:
                raise MissingObject(f"there is no model {to}; register it, or see binsight models list")
            if found.removed_at is not None:
                raise MissingObject(
                    f"the files of {to} were removed by {found.removed_by}; register the bundle again"
                )
            if seen is not None and seen.version == to:
                if not _is_at(connection, seen):
                    raise _moved_meanwhile(alias)
                return seen
            revision = _moved(connection, alias, seen, to, by, reason)
        return Pointed(alias=alias, version=to, revision=revision)

    def retire(self, seen: Pointed, *, by: str, reason: str) -> None:
        """Have an alias point nowhere, if it still points where it was `seen` to. Raises `ChangedMeanwhile`."""
        with self._ledger.writing() as connection:
            _moved(connection, seen.alias, seen, None, by, reason)


def _held(connection: sa.Connection, version: str) -> "sa.Row[Any] | None":
    """A version's row, which nobody else changes until this writing transaction ends."""
    query = sa.select(model_versions).where(model_versions.c.version == version)
    return connection.execute(query.with_for_update()).first()


def _moved(
    connection: sa.Connection, alias: str, seen: Pointed | None, to: str | None, by: str, reason: str
) -> int:
    """Move an alias and write the row of it; the revision it is at now. Raises `ChangedMeanwhile`."""
    before = _retired_revision(connection, alias) if seen is None else seen.revision
    revision = before + 1
    if not _swapped(connection, alias, to, revision):
        raise _moved_meanwhile(alias)
    connection.execute(
        sa.insert(alias_moves).values(
            alias=alias,
            revision=revision,
            from_version=None if seen is None else seen.version,
            to_version=to,
            moved_at=_now(),
            moved_by=by,
            reason=reason,
        )
    )
    return revision


def _moved_meanwhile(alias: str) -> ChangedMeanwhile:
    return ChangedMeanwhile(f"{alias} was moved by somebody else meanwhile; look again, then repeat")


def _is_at(connection: sa.Connection, seen: Pointed) -> bool:
    """Whether an alias still points where it was seen to."""
    query = sa.select(aliases.c.version, aliases.c.revision).where(aliases.c.alias == seen.alias)
    found = connection.execute(query).first()
    return found is not None and (found.version, found.revision) == (seen.version, seen.revision)


def _retired_revision(connection: sa.Connection, alias: str) -> int:
    """After how many moves an alias points nowhere; 0 for one that never was, or that points somewhere by now."""
    query = sa.select(aliases.c.revision).where((aliases.c.alias == alias) & aliases.c.version.is_(None))
    return connection.execute(query).scalar() or 0


def _swapped(connection: sa.Connection, alias: str, to: str | None, revision: int) -> bool:
    if revision == 1:
        return inserted(connection, sa.insert(aliases).values(alias=alias, version=to, revision=1))
    as_seen = (aliases.c.alias == alias) & (aliases.c.revision == revision - 1)
    changed = connection.execute(sa.update(aliases).where(as_seen).values(version=to, revision=revision))
    return changed.rowcount == 1


def _version(row: "sa.Row[Any]") -> ModelVersion:
    return ModelVersion(**{**row._mapping, "lineage": json.loads(row.lineage)})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
