"""Stored secrets under a new key: which are not yet, and their re-encryption while the service goes on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Column, Row, Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import OperatorError
from llama_service.settings import Settings
from llama_service.vault import Vault
from persistence import audit
from persistence.session import Database
from persistence.tables import Base

_BATCH: Final = 500  # rows that are read at once
_NAMED: Final = 20  # rows that a message names

# What to do about a secret that no key opens: whoever it belongs to gives it again.
_REMEDIES: Final = {
    "mcp_servers": "set the server's headers again (Administration)",
    "second_factors": "llama-service reset-two-factor",
    "provider_sessions": "end the person's sessions (Administration)",
}


class RotationRefused(OperatorError):
    """Stored secrets can't be read with the keys that are set; the message names the rows, a line for each table."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The secrets of a table: how many there are, and the ids of rows under another key, and of those under none."""

    table: str
    count: int
    outdated: Sequence[UUID]
    unreadable: Sequence[UUID]

    @property
    def problem(self) -> str:
        """Which rows can't be read, and what to do; for the operator."""
        told = f"{len(self.unreadable)} of {self.table} can't be read with the keys that are set"
        return f"{told}: {_REMEDIES[self.table]}: {named(self.unreadable)}"


def named(rows: Sequence[UUID]) -> str:
    """Return the ids of the first rows, for a message."""
    return ", ".join(map(str, rows[:_NAMED])) + (", ..." if len(rows) > _NAMED else "")


def vault_of(settings: Settings) -> Vault:
    """Return the vault of the keys that are set."""
    return Vault(settings.jwt_secret_key, settings.jwt_secret_key_previous)


async def survey(session: AsyncSession, vault: Vault) -> list[Sealed]:
    """Look at every stored secret that is not under the current key."""
    found = []
    for table, key, column in _sealed_columns():
        outdated: list[UUID] = []
        unreadable: list[UUID] = []
        async for batch in _batches(session, vault, key, column):
            for row_id, sealed in batch:
                opened = vault.open(sealed, table.name, row_id)
                (outdated if opened is not None else unreadable).append(row_id)
        count = await session.scalar(select(func.count(column)))
        found.append(Sealed(table.name, int(count or 0), outdated, unreadable))
    return found


async def rotate_keys(settings: Settings) -> Mapping[str, int]:
    """Re-encrypt every stored secret that is not under the current key; return how many that were, by table.

    A table is one transaction, whose rows wait for nobody but their own writers. Raises RotationRefused where a secret
    can't be read; nothing is changed then.
    """
    database, vault = Database(settings.postgres, 1), vault_of(settings)
    try:
        async with database.reading() as session:
            _check(await survey(session, vault))
        done = {}
        for table, key, column in _sealed_columns():
            async with database.transaction() as session:
                done[table.name] = await _reencrypt(session, vault, table, key, column)
        async with database.transaction() as session:
            await audit.note(session, "keys_rotated", None, via="command line", secrets=done)
        return done
    finally:
        await database.close()


def _check(found: Sequence[Sealed]) -> None:
    if problems := [sealed.problem for sealed in found if sealed.unreadable]:
        raise RotationRefused("\n".join(problems))


async def _reencrypt(
    session: AsyncSession, vault: Vault, table: Table, key: Column[UUID], column: Column[bytes]
) -> int:
    done = 0
    unreadable: list[UUID] = []
    async for batch in _batches(session, vault, key, column, lock=True):
        for row_id, sealed in batch:
            opened = vault.open(sealed, table.name, row_id)
            if opened is None:
                unreadable.append(row_id)
                continue
            renewed = vault.seal(opened, table.name, row_id)
            await session.execute(update(table).where(key == row_id).values({column: renewed}))
            done += 1
    _check([Sealed(table.name, done, [], unreadable)])
    return done


async def _batches(
    session: AsyncSession, vault: Vault, key: Column[UUID], column: Column[bytes], *, lock: bool = False
) -> AsyncIterator[Sequence[Row[tuple[UUID, bytes]]]]:
    """Yield ids and secrets of rows that are not under the current key, in the order of their ids."""
    query = select(key, column).where(func.substr(column, 1, len(vault.mark)) != vault.mark).order_by(key)
    if lock:
        query = query.with_for_update()
    last: UUID | None = None
    while True:
        rows = (await session.execute((query if last is None else query.where(key > last)).limit(_BATCH))).all()
        if not rows:
            return
        yield rows
        last = rows[-1][0]


def _sealed_columns() -> list[tuple[Table, Column[UUID], Column[bytes]]]:
    """Return each table with a column of secrets, its key, and that column."""
    return [
        (table, *table.primary_key.columns, column)
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if column.info.get("sealed")
    ]
