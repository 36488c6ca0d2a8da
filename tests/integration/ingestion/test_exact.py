"""A scope is searched by comparing with each of its vectors, which finds what the index finds, and what it misses."""

from uuid import UUID, uuid4

import pytest

from ingestion.index import IndexKeeper
from llama_service.runtime.process import free_port
from persistence.exact import ExactVectors, sought_vector
from persistence.files import take
from persistence.search import Retriever, Scope, files_in
from persistence.vectors.chroma import ChromaIndex, connect
from tests.support import Person, Server

SENTENCES = [f"Sentence {number} about {word} and nothing else at all. " for number, word in enumerate("abcdef")]


async def scope_of(anna: Person) -> Scope:
    return Scope(UUID((await anna.get("/auth/me"))["id"]))


async def test_it_finds_what_the_index_finds(server: Server, anna: Person) -> None:
    for sentence in SENTENCES:
        await anna.indexed(f"{uuid4().hex}.txt", (sentence * 40).encode())
    state, scope = server.app.state.resources, await scope_of(anna)
    async with state.database.transaction() as session:
        files = await files_in(session, scope)
        rows = [await take(session, file.id) for file in files]
    exact = ExactVectors(state.database)
    embeddings = state.registry.embeddings()
    model, question = await embeddings.of_query("a sentence about c")
    vector = sought_vector(model, question)
    # An index of these vectors alone: in the one that all tests fill, a graph may reach none of them.
    index = ChromaIndex(state.settings.chroma_url, f"exact-{uuid4().hex[:8]}", state.settings.chroma_token)
    for row in rows:
        assert row is not None
        await IndexKeeper(state.database, index, embeddings).write(row)
    wanted = await index.near(model, question, file_ids=[file.id for file in files], size=100, count=30)
    await index.drop()
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
    model, question = await state.registry.embeddings().of_query("storks")
    vector = sought_vector(model, question)
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


async def test_a_passage_that_the_index_missed_is_found_by_its_words(server: Server, anna: Person) -> None:
    # A graph index reaches some passages from nowhere: here it is made to miss the one that answers.
    text = " ".join(f"Llama number {number} gives wool of quality {number % 7}." for number in range(60))
    file = await anna.indexed(f"{uuid4().hex}.txt", f"{text} The warranty lasts seven years. {text}".encode())
    state, scope = server.app.state.resources, await scope_of(anna)
    question = "How many years does the warranty last?"
    wide = Retriever(state.database, state.index, state.registry.embeddings(), widest=0)
    ((right, *_), _) = await wide.search(scope, question, 5)
    assert "seven years" in right.text
    client = connect(state.settings.chroma_url, state.settings.chroma_token)
    for collection in client.list_collections():
        collection.delete(ids=[str(right.chunk_id)])
    assert await state.index.file_count(UUID(file["id"])) == file["chunks_total"] - 1
    for retriever in (wide, Retriever(state.database, state.index, state.registry.embeddings())):
        found, _ = await retriever.search(scope, question, 5)
        assert found[0] == right
    answer = await anna.http.post("/search", json={"query": question, "file_ids": [file["id"]]})
    assert "seven years" in answer.json()["passages"][0]["text"]


async def test_wide_scopes_ask_the_index(server: Server, anna: Person) -> None:
    await anna.indexed(f"{uuid4().hex}.txt", b"The storks nest on the roof of the mill.")
    state, scope = server.app.state.resources, await scope_of(anna)
    away = ChromaIndex(f"http://127.0.0.1:{free_port()}", "documents")
    embeddings = state.registry.embeddings()
    wide = await Retriever(state.database, away, embeddings, widest=0).retrieve(scope, "storks", budget=1000)
    assert wide.vector_error == "dependency_unavailable"
    assert wide.sources, "found by its words"
    narrow = await Retriever(state.database, away, embeddings).retrieve(scope, "storks", budget=1000)
    assert narrow.vector_error is None
    assert narrow.sources
