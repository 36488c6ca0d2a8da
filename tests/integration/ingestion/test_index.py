"""Postgres is the truth, the vectors' engine an index: it can be lost, and comes back."""

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

from ingestion.reindex import reindex
from ingestion.worker import open_ingestion
from llama_service.settings import Settings
from tests.conftest import Database
from tests.providers import OpenAIServer
from tests.support import Person, Server, eventually


async def found(person: Person, words: str) -> list[str]:
    answer = await person.http.post("/search", json={"query": words})
    return [passage["text"] for passage in answer.json()["passages"]]


async def test_a_dropped_index_is_noticed_and_written_again(server: Server, anna: Person) -> None:
    file = await anna.indexed("kept.txt", f"The lighthouse of {uuid4().hex} is painted red.".encode())
    resources = server.app.state.resources
    await resources.index.drop()
    assert any("lighthouse" in text for text in await found(anna, "lighthouse")), "words are found without vectors"
    await resources.ingestion.keeper.check()
    counts = {str(file_id): count for file_id, count in (await resources.index.file_counts()).items()}
    assert counts[file["id"]] == file["chunks_total"]
    assert resources.ingestion.keeper.health.indexed == resources.ingestion.keeper.health.vectors


async def test_vectors_of_deleted_files_are_swept_out(server: Server, anna: Person) -> None:
    file = await anna.indexed("gone.txt", f"Something about {uuid4().hex} and rivers.".encode())
    resources = server.app.state.resources
    async with resources.database.transaction() as session:
        from persistence import files

        user = (await anna.get("/auth/me"))["id"]
        await files.remove(session, user, [file["id"]])
    await resources.ingestion.keeper.check()
    assert file["id"] not in {str(file_id) for file_id in await resources.index.file_counts()}


async def test_reindex_rebuilds_while_the_service_runs(server: Server, anna: Person, settings: Settings) -> None:
    await anna.indexed("a.txt", f"A sentence about {uuid4().hex} and mountains.".encode())
    steps: list[tuple[int, int]] = []
    written = await asyncio.to_thread(reindex, settings, lambda done, total: steps.append((done, total)))
    assert written >= 1
    assert steps[-1][0] == steps[-1][1] == written
    assert any("mountains" in text for text in await found(anna, "mountains"))


async def test_one_process_at_a_time_repairs_the_index(server: Server, anna: Person, database: Database) -> None:
    await anna.indexed("there.txt", f"Something about {uuid4().hex} and bridges.".encode())
    keeper = server.app.state.resources.ingestion.keeper
    with database.transaction():  # another process, in the middle of it
        database.execute("SELECT pg_advisory_xact_lock(hashtextextended('repair index', 0))")
        assert not await keeper.repair()
    assert await keeper.repair()


async def test_a_file_that_the_index_holds_in_part_is_written_whole(server: Server, anna: Person) -> None:
    text = " ".join(f"Sentence {number} of a text that has some passages." for number in range(60))
    file = await anna.indexed(f"{uuid4().hex}.txt", text.encode())
    state = server.app.state.resources
    async with state.database.transaction() as session:
        from persistence import files

        row = await files.take(session, UUID(file["id"]))
    assert row is not None
    await state.index.remove([row.id])
    await state.ingestion.keeper.settle(row, file["chunks_total"])
    assert await state.index.file_count(row.id) == file["chunks_total"] > 1


async def test_a_worker_leaves_files_of_another_embedding_model_alone(
    server: Server, anna: Person, settings: Settings, database: Database
) -> None:
    """While one model follows another, workers of both run, and take jobs of one queue."""
    file = await anna.indexed("moved.txt", f"Something about {uuid4().hex} and harbours.".encode())
    file_id, old = UUID(file["id"]), server.app.state.resources.ingestion
    drop = "UPDATE passages SET vector = NULL WHERE file_id = %s"
    query = "SELECT count(vector) FROM passages WHERE file_id = %s"

    def vectors() -> int:
        row = database.execute(query, (file_id,)).fetchone()
        return row[0] if row else -1

    async def waits() -> bool:
        held = "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.query ~ 'files'"
        return database.execute(held).fetchone() is not None

    database.execute(drop, (file_id,))
    with database.transaction():  # `reindex` for the new model, while the old one's worker has vectors in its hands
        database.execute("SELECT FROM files WHERE id = %s FOR UPDATE", (file_id,))
        embedding = asyncio.create_task(old.pipeline.embed(file_id))
        await eventually(waits)
        move = "UPDATE files SET embedding_model = 'text-embedding-3-large', chunks_indexed = 0 WHERE id = %s"
        database.execute(move, (file_id,))
    await embedding
    await old.pipeline.embed(file_id)
    assert vectors() == 0
    assert file_id not in await old.keeper.check()
    async with AsyncExitStack() as stack:
        update = {"openai_embed_model": "text-embedding-3-large"}
        new = await open_ingestion(settings.model_copy(update=update), stack)
        await new.pipeline.embed(file_id)
    assert vectors() == file["chunks_total"]
    assert (await anna.get(f"/files/status/{file_id}"))["status"] == "completed"


async def test_vectors_of_another_length_break_no_search_and_are_made_anew(
    anna: Person, settings: Settings, database: Database
) -> None:
    file = await anna.indexed("wide.txt", f"Something about {uuid4().hex} and windmills.".encode())
    database.execute("UPDATE passages SET vector = vector || vector WHERE file_id = %s", (file["id"],))
    for words in ("windmills", "what turns in the wind"):
        answer = await anna.http.post("/search", json={"query": words})
        assert answer.status_code == 200, answer.text
    await asyncio.to_thread(reindex, settings, lambda done, total: None)
    lengths = "SELECT count(DISTINCT octet_length(vector)) FROM passages"
    assert database.execute(lengths).fetchone() == (1,)


async def test_a_passage_that_the_embeddings_refuse_keeps_no_other_waiting(
    anna: Person, openai: OpenAIServer, database: Database
) -> None:
    refused = f"X{uuid4().hex}"
    paragraphs = [f"Paragraph {number} says something about rivers and their bridges. " * 12 for number in range(50)]
    paragraphs[3] = f"{refused} {paragraphs[3]}"  # in the beginning: no part of it is taken
    paragraphs[40] = f"{paragraphs[40]} {refused}"
    openai.unembeddable = refused
    try:
        file = await anna.indexed("rivers.txt", "\n\n".join(paragraphs).encode())
    finally:
        openai.unembeddable = ""
    assert (file["status"], file["error"]) == ("completed", None)
    row = database.execute("SELECT count(vector) FROM passages WHERE file_id = %s", (file["id"],)).fetchone()
    assert row == (file["chunks_total"],)
    assert refused in (await found(anna, refused))[0]
