"""Why the files of a version are kept: within a transaction, so that no alias moves meanwhile."""

import sqlalchemy as sa

from binsight.storage.ledger.tables import alias_moves, aliases, model_versions


def kept_for(connection: sa.Connection, version: str, since: str) -> str:
    """The reason as a clause; empty where nothing needs the files.

    Needed are those that an alias points at, that a rollback of one would go to, that one pointed at after `since`, and
    those that were registered after it.
    """
    moves = alias_moves
    pointing = sa.select(aliases.c.alias).where(aliases.c.version == version)
    if (alias := connection.execute(pointing.order_by(aliases.c.alias)).scalar()) is not None:
        return f"{alias} points at it"
    # A row from a version to itself, as ledgers of before have them, is none that a rollback would take back.
    last = (
        sa.select(moves.c.alias, sa.func.max(moves.c.revision).label("revision"))
        .where(moves.c.from_version.is_distinct_from(moves.c.to_version))
        .group_by(moves.c.alias)
        .subquery()
    )
    back = (
        sa.select(moves.c.alias)
        .join(last, (moves.c.alias == last.c.alias) & (moves.c.revision == last.c.revision))
        .where(moves.c.from_version == version)
    )
    if (alias := connection.execute(back.order_by(moves.c.alias)).scalar()) is not None:
        return f"a rollback of {alias} would go to it"
    of_it = (moves.c.from_version == version) | (moves.c.to_version == version)
    lately = sa.select(moves).where(of_it & (moves.c.moved_at >= since)).order_by(moves.c.moved_at.desc())
    if (move := connection.execute(lately).first()) is not None:
        return f"{move.alias} pointed at it until {move.moved_at[:10]}"
    registered = sa.select(model_versions.c.registered_at).where(model_versions.c.version == version)
    moment = connection.execute(registered).scalar()
    if moment is not None and moment >= since:
        return f"it was registered on {moment[:10]}"
    return ""
