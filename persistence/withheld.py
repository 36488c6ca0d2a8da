"""What records say of files is shown as far as its reader may read the files now: names stay, texts do not.

An answer keeps the passages that it was made of: in its message, its trace, its events, in the graph's state, in
shared copies. Whoever shows one of them passes it through here. A record of a file is a mapping with `file_id` (a
source, a passage in a prompt), or with `file_ids` (a tool that read whole files).

Of a file that is gone, nobody has a right any more. What was one's own (not `shared`) stays in one's own records; what
was another's does not.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from persistence.access import readable_ids
from persistence.tables import File

_TEXTS: Final = ("snippet", "text", "content", "result_preview", "quote", "heading")
_ASKED: Final = "arguments"  # of a tool: what a model or a person wrote, whatever it looks like


async def withhold(session: AsyncSession, user_id: UUID | None, record: Any) -> Any:
    """Return a record (mappings and lists, as JSON has them) without the texts of files that the user may not read.

    What lost its text has `available` set to False. Nothing is copied where nothing is withheld.
    """
    named = {file_id for part in _of_files(record) for file_id in _file_ids(part)}
    if not named:
        return record
    there, allowed = await _rights(session, user_id, named)
    if named <= allowed:
        return record

    def is_withheld(part: Mapping[str, Any]) -> bool:
        ids = set(_file_ids(part))
        gone, kept = ids - there, ids & there
        return not kept <= allowed or bool(gone and part.get("shared"))

    withheld = [part for part in _of_files(record) if is_withheld(part)]
    return _without(record, {id(part) for part in withheld}) if withheld else record


def without_files(record: Any, file_ids: Collection[UUID]) -> Any:
    """Return a record without the texts of these files, whoever may read them."""
    gone = set(file_ids)
    return _without(record, {id(part) for part in _of_files(record) if gone.intersection(_file_ids(part))})


async def _rights(
    session: AsyncSession, user_id: UUID | None, named: set[UUID]
) -> tuple[frozenset[UUID], frozenset[UUID]]:
    """Return those of these files that are there, and those of them that the user may read."""
    there = frozenset((await session.execute(select(File.id).where(File.id.in_(named)))).scalars())
    return there, await readable_ids(session, user_id, there) if user_id is not None else frozenset()


def _of_files(record: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings in a record that hold text of files; what a person has imported is their own text."""
    if isinstance(record, Mapping):
        named = "file_id" in record or "file_ids" in record
        if named and not record.get("imported") and any(record.get(name) for name in _TEXTS):
            yield record
        for name, value in record.items():
            if name != _ASKED:
                yield from _of_files(value)
    elif isinstance(record, list | tuple):
        for item in record:
            yield from _of_files(item)


def _file_ids(part: Mapping[str, Any]) -> Iterator[UUID]:
    several = part.get("file_ids")
    for value in (part.get("file_id"), *(several if isinstance(several, list | tuple) else ())):
        if isinstance(value, str | UUID):
            try:
                yield UUID(str(value))
            except ValueError:
                continue  # what another product called a file: none of ours


def _without(record: Any, withheld: set[int]) -> Any:
    if isinstance(record, list | tuple):
        return [_without(item, withheld) for item in record]
    if not isinstance(record, Mapping):
        return record
    shown = {name: value if name == _ASKED else _without(value, withheld) for name, value in record.items()}
    if id(record) not in withheld:
        return shown
    blank = {name: "" if isinstance(shown[name], str) else None for name in _TEXTS if name in shown}
    hidden = {"highlight": None} if "highlight" in shown else {}
    return shown | blank | hidden | {"available": False}
