"""A narrow scope is searched by comparing with each of its vectors, which finds what the index finds."""

from uuid import UUID, uuid4

import pytest

from persistence.exact import ExactVectors
from persistence.search import Scope, files_in
from tests.conftest import Database
from tests.support import Person, Server

SENTENCES = [f"Sentence {number} about {word} and nothing else at all. " for number, word in enumerate("abcdef")]


async def scope_of(anna: Person) -> Scope:
    return Scope(UUID((await anna.get("/auth/me"))["id"]))


async def test_it_finds_what_the_index_finds(server: Server, anna: Person) -> None:
    for sentence in SENTENCES:
        await anna.indexed(f"{uuid4().hex}.txt", (sentence * 40).encode())
    state, scope = server.app.state.resources, await scope_of(anna)
    async with state.database.reading() as session:
        files = await files_in(session, scope)
    exact = ExactVectors(state.database)
    model, vector = await state.registry.embeddings().of_query("a sentence about c")
    wanted = await state.index.near(model, vector, owner=scope.user_id, file_ids=None, count=30)
    assert wanted
    keys = {(hit.file_id, hit.position): hit.similarity for hit in wanted}
    passages = sum(len(file.passage_lengths) for file in files)
    for _ in range(2):  # from Postgres, then from memory
        found = {(hit.file_id, hit.position): hit.similarity for hit in await exact.near(model, vector, files, 1000)}
        # The index is approximate: it may miss some, but what it has is the same.
        assert {key: found[key] for key in found if key in keys} == pytest.approx(keys, abs=1e-4)
        assert len(found) == passages
    assert await exact.near("another model", vector, files, 30) == []


async def test_a_file_that_was_indexed_again_is_read_again(server: Server, anna: Person) -> None:
    await anna.indexed("old.txt", b"The old text about storks.")
    state, scope = server.app.state.resources, await scope_of(anna)
    exact = ExactVectors(state.database)
    model, vector = await state.registry.embeddings().of_query("storks")
    async with state.database.reading() as session:
        files = await files_in(session, scope)
    assert len(await exact.near(model, vector, files, 5)) == 1
    async with state.database.transaction() as session:
        from persistence import files as repository

        await repository.replace_passages(session, files[0].id, [], {})
        await repository.note(session, files[0].id, chunks_total=0, chunks_indexed=0)
    async with state.database.reading() as session:
        files = await files_in(session, scope)
    assert await exact.near(model, vector, files, 5) == []


async def test_only_a_small_part_of_everything_is_searched_so(server: Server, anna: Person, database: Database) -> None:
    text = " ".join(f"Number {number} is followed by another one, and so it goes on." for number in range(400))
    file = await anna.indexed(f"{uuid4().hex}.txt", text.encode())
    database.execute("ANALYZE passages")
    exact = ExactVectors(server.app.state.resources.database, least=40)
    assert file["chunks_total"] > 40
    assert await exact.suits(10)
    assert not await exact.suits(10_001)
    assert not await exact.suits(file["chunks_total"] * 1000)
    assert not await ExactVectors(server.app.state.resources.database).suits(10), "the index is quick here"
