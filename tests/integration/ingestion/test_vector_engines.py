"""What every engine of the vector index has to keep, asked of each: Chroma, pgvector and Milvus."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from pydantic import SecretStr

from ingestion.index import IndexKeeper
from llama_service.dsn import PostgresDsn
from llama_service.errors import DependencyUnavailable
from llama_service.runtime.chroma import EmbeddedChroma
from llama_service.runtime.process import free_port
from llama_service.settings import Settings, load_settings
from persistence.files import take
from persistence.search import Retriever, Scope
from persistence.session import Database
from persistence.vectors import IndexedPassage, VectorIndex, open_index
from persistence.vectors.chroma import ChromaIndex, collection_name, connect
from persistence.vectors.pgvector import set_up
from persistence.vectors.port import slug
from tests.milvus import milvus_server
from tests.support import Person, Server, new_database

ENGINES = ("chroma", "pgvector", "milvus")
MODEL, DIMENSION = "a-model", 8
NARROW, WIDE = 10, 1_000_000  # scopes that pgvector compares one by one, and by its graph

Open = Callable[[], VectorIndex]


@pytest.fixture(scope="module")
async def milvus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with milvus_server(tmp_path_factory.mktemp("milvus")) as url:
        yield url


@pytest.fixture(params=ENGINES)
async def opened(
    request: pytest.FixtureRequest, chroma: EmbeddedChroma, postgres: str, milvus: str
) -> AsyncIterator[Open]:
    """Opens an empty index, and the same one again as another process would."""
    variables: dict[str, Any] = {
        "chroma": {"chroma_url": chroma.url, "chroma_token": chroma.token},
        "pgvector": {"vector_store": "pgvector"},
        "milvus": {"vector_store": f"milvus+{milvus}"},
    }[request.param]
    address = new_database(postgres, "vectors") if request.param == "pgvector" else postgres
    settings = settings_of(address, collection_name=f"t{uuid4().hex[:8]}", **variables)
    if request.param == "pgvector":
        with psycopg.connect(address, autocommit=True) as connection:
            set_up(connection, settings)
    async with AsyncExitStack() as stack:

        def open_() -> VectorIndex:
            database = Database(settings.postgres, 4)
            stack.push_async_callback(database.close)
            index = open_index(settings, database)
            stack.push_async_callback(index.close)
            return index

        yield open_
        await open_().drop()


@pytest.fixture
def index(opened: Open) -> VectorIndex:
    return opened()


def settings_of(database: str, **values: Any) -> Settings:
    return load_settings(_env_file=None, jwt_secret_key="k" * 40, database_url=database, **values)


def away(engine: str) -> VectorIndex:
    """An index whose server is not there."""
    port = free_port()
    values = {
        "chroma": {"chroma_url": f"http://127.0.0.1:{port}"},
        "pgvector": {"vector_store": "pgvector"},
        "milvus": {"vector_store": f"milvus+http://127.0.0.1:{port}"},
    }[engine]
    settings = settings_of(f"postgresql://nobody@127.0.0.1:{port}/nothing", **values)
    return open_index(settings, Database(PostgresDsn.of(f"postgresql://nobody@127.0.0.1:{port}/nothing"), 2))


def towards(axis: int, slant: float = 0.0, dimension: int = DIMENSION) -> list[float]:
    """A vector of unit length along an axis, or slanting from it to the next one."""
    vector = np.zeros(dimension)
    vector[axis], vector[(axis + 1) % dimension] = 1.0, slant
    return [float(number) for number in vector / np.linalg.norm(vector)]


def passages_of(file_id: UUID, vectors: Sequence[Sequence[float]], owner: UUID | None = None) -> list[IndexedPassage]:
    return [IndexedPassage(uuid4(), file_id, owner or uuid4(), at, vector) for at, vector in enumerate(vectors)]


async def near(
    index: VectorIndex,
    vector: Sequence[float],
    files: Sequence[UUID],
    size: int = NARROW,
    count: int = 10,
    model: str = MODEL,
) -> list[tuple[UUID, int]]:
    hits = await index.near(model, vector, file_ids=files, size=size, count=count)
    return [(hit.file_id, hit.position) for hit in hits]


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_the_nearest_come_first_with_their_cosines(index: VectorIndex, size: int) -> None:
    file = uuid4()
    await index.add(MODEL, passages_of(file, [towards(3), towards(0, 1.0), towards(0, 0.1), towards(0)]))
    hits = await index.near(MODEL, towards(0), file_ids=[file], size=size, count=3)
    assert [(hit.file_id, hit.position) for hit in hits] == [(file, 3), (file, 2), (file, 1)]
    assert [hit.similarity for hit in hits] == pytest.approx([1.0, 0.99504, 0.70711], abs=2e-3)


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_neighbours_passages_are_never_found(index: VectorIndex, size: int) -> None:
    own, neighbours = uuid4(), [uuid4() for _ in range(5)]
    for neighbour in neighbours:  # nearer, and many
        await index.add(MODEL, passages_of(neighbour, [towards(0, 0.001 * at) for at in range(40)]))
    await index.add(MODEL, passages_of(own, [towards(1), towards(0, 0.5)]))
    assert await near(index, towards(0), [own], size) == [(own, 1), (own, 0)]
    found = await near(index, towards(0), [own, neighbours[0]], size, count=42)
    assert {file for file, _ in found} <= {own, neighbours[0]}
    assert await near(index, towards(0), [uuid4()], size) == []
    assert await near(index, towards(0), [], size) == []


async def test_nothing_is_found_where_nothing_was_written(index: VectorIndex) -> None:
    assert await near(index, towards(0), [uuid4()]) == []
    assert await index.counts() == {}
    assert await index.file_counts() == {}
    assert await index.file_count(uuid4()) == 0
    await index.remove([uuid4()])
    await index.remove([])
    await index.add(MODEL, [])
    await index.ping()


async def test_what_is_written_again_takes_the_place_of_the_first(index: VectorIndex) -> None:
    file, owner, passage = uuid4(), uuid4(), uuid4()
    for vector in (towards(0), towards(4)):
        await index.add(MODEL, [IndexedPassage(passage, file, owner, 0, vector)])
        await index.add(MODEL, [IndexedPassage(passage, file, owner, 0, vector)])
    assert await index.file_count(file) == 1
    (hit,) = await index.near(MODEL, towards(4), file_ids=[file], size=NARROW, count=10)
    assert hit.similarity == pytest.approx(1.0, abs=1e-3)


async def test_a_file_and_all_of_an_owner_can_be_removed(index: VectorIndex) -> None:
    anna, boris = uuid4(), uuid4()
    of_anna, of_boris = [uuid4() for _ in range(3)], [uuid4() for _ in range(2)]
    for owner, files in ((anna, of_anna), (boris, of_boris)):
        for file in files:
            await index.add(MODEL, passages_of(file, [towards(0), towards(1)], owner))
            await index.add("another-model", passages_of(file, [towards(0)], owner))
    await index.remove([of_boris[0]])
    assert await index.file_counts() == dict.fromkeys([*of_anna, of_boris[1]], 3)
    await index.remove(of_anna)
    assert await index.file_counts() == {of_boris[1]: 3}
    assert await near(index, towards(0), [*of_anna, *of_boris]) == [(of_boris[1], 0), (of_boris[1], 1)]


async def test_the_vectors_of_each_model_and_dimension_are_kept_apart(index: VectorIndex) -> None:
    file = uuid4()
    long = "a-company/" + "very-" * 12
    models = {MODEL: 0, "text_embedding.3:Large": 1, f"{long}large": 2, f"{long}small": 3}
    for model, axis in models.items():
        await index.add(model, passages_of(file, [towards(axis)]))
    await index.add(MODEL, passages_of(file, [towards(7, dimension=16)]))
    for model, axis in models.items():
        (hit,) = await index.near(model, towards(axis), file_ids=[file], size=NARROW, count=10)
        assert hit.similarity == pytest.approx(1.0, abs=1e-3)
    assert len(await near(index, towards(7, dimension=16), [file])) == 1
    assert await near(index, towards(0), [file], model="a-third") == []
    assert sorted((await index.counts()).values()) == [1] * 5
    assert await index.file_counts() == {file: 5}
    assert await index.file_count(file) == 5


def test_models_whose_names_hold_little_of_an_identifier_have_names_of_their_own() -> None:
    names = ["модель", "模型", "模型-2", "модель-2", "", *(f"{'x' * 40}{end}" for end in "ab")]
    assert len({slug(name) for name in names}) == len(names)
    assert all(len(slug(name)) <= 40 for name in names)
    assert slug("intfloat/multilingual-e5-small") == "intfloat-multilingual-e5-small"


async def test_counts_are_of_all_that_was_written(index: VectorIndex) -> None:
    files = {uuid4(): count for count in (1, 260, 700)}
    random = np.random.default_rng(1)
    for file, count in files.items():
        await index.add(MODEL, passages_of(file, random.standard_normal((count, DIMENSION)).tolist()))
    assert sum((await index.counts()).values()) == sum(files.values())
    assert await index.file_counts() == files
    assert len(await near(index, towards(0), list(files), count=100)) == 100


async def test_an_index_that_another_process_drops_is_empty_and_can_be_written_to(opened: Open) -> None:
    here, there = opened(), opened()
    file = uuid4()
    passages = passages_of(file, [towards(0), towards(1)])
    await here.add(MODEL, passages)
    assert len(await near(here, towards(0), [file])) == 2
    await there.drop()
    assert await near(here, towards(0), [file]) == []
    assert await here.counts() == {} or sum((await here.counts()).values()) == 0
    await here.add(MODEL, passages)
    assert await near(there, towards(0), [file]) == [(file, 0), (file, 1)]


async def test_writers_at_the_same_time_lose_nothing(opened: Open) -> None:
    here, there = opened(), opened()
    random = np.random.default_rng(2)
    written = {uuid4(): random.standard_normal((60, DIMENSION)).tolist() for _ in range(6)}
    made = {file: passages_of(file, vectors) for file, vectors in written.items()}
    # Nothing is there yet: each makes what is missing. And every file is written by both.
    await asyncio.gather(*(index.add(MODEL, made[file]) for file in written for index in (here, there)))
    assert await here.file_counts() == dict.fromkeys(written, 60)
    gone, *kept = written
    await asyncio.gather(here.remove([gone]), *(there.add(MODEL, made[file]) for file in kept))
    assert await there.file_counts() == dict.fromkeys(kept, 60)


async def test_a_service_whose_name_begins_like_anothers_leaves_its_passages_alone(chroma: EmbeddedChroma) -> None:
    name, file = f"t{uuid4().hex[:8]}", uuid4()
    here, there = (ChromaIndex(chroma.url, prefix, SecretStr(chroma.token)) for prefix in (name, f"{name}-staging"))
    await there.add(MODEL, passages_of(file, [towards(0)]))
    assert (await here.counts(), await here.file_counts(), await here.file_count(file)) == ({}, {}, 0)
    await here.drop()
    assert await there.file_counts() == {file: 1}
    with pytest.raises(DependencyUnavailable):  # a model's name that makes one name of the two
        await here.add(f"staging-{MODEL}", passages_of(uuid4(), [towards(0)]))
    await there.drop()


async def test_a_collection_of_before_there_were_marks_is_kept(chroma: EmbeddedChroma) -> None:
    service, token, (kept, gone) = f"t{uuid4().hex[:8]}", SecretStr(chroma.token), (uuid4(), uuid4())
    index = ChromaIndex(chroma.url, service, token)
    collection = connect(chroma.url, token).create_collection(collection_name(service, MODEL, DIMENSION))
    about: Any = [{"file_id": str(file), "owner": str(uuid4()), "position": 0} for file in (kept, gone)]
    vectors: Any = [towards(0), towards(1)]
    collection.add(["a", "b"], vectors, about, ["a", "b"])
    await index.remove([gone])
    assert (await index.counts(), collection.count()) == ({}, 1), "whose it is nobody knows yet; what is deleted is so"
    assert await near(index, towards(0), [kept]) == [(kept, 0)]
    assert await index.file_counts() == {kept: 1}
    await index.drop()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_server_that_is_away_is_a_dependency_that_is_unavailable(engine: str) -> None:
    index = away(engine)
    with pytest.raises(DependencyUnavailable):
        await index.ping()
    with pytest.raises(DependencyUnavailable):
        await near(index, towards(0), [uuid4()])
    with pytest.raises(DependencyUnavailable):
        await index.add(MODEL, passages_of(uuid4(), [towards(0)]))
    await index.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_turn_goes_on_with_its_words_where_the_server_is_away(
    engine: str, server: Server, anna: Person
) -> None:
    await anna.indexed(f"{uuid4().hex}.txt", b"The storks nest on the roof of the mill.")
    state, scope = server.app.state.resources, Scope(UUID((await anna.get("/auth/me"))["id"]))
    index, embeddings = away(engine), state.registry.embeddings()
    wide = await Retriever(state.database, index, embeddings, widest=0).retrieve(scope, "storks", budget=1000)
    assert wide.vector_error == "dependency_unavailable"
    assert wide.sources, "found by its words"
    narrow = await Retriever(state.database, index, embeddings).retrieve(scope, "storks", budget=1000)
    assert narrow.vector_error is None
    assert narrow.sources
    await index.close()


async def test_it_is_filled_from_the_database_and_answers_a_search(server: Server, anna: Person, opened: Open) -> None:
    text = " ".join(f"Stork number {number} nests on roof {number % 7} of the mill." for number in range(60))
    file = await anna.indexed(f"{uuid4().hex}.txt", text.encode())
    state, scope = server.app.state.resources, Scope(UUID((await anna.get("/auth/me"))["id"]))
    index, embeddings = opened(), state.registry.embeddings()
    async with state.database.transaction() as session:
        row = await take(session, UUID(file["id"]))
    assert row is not None
    assert await IndexKeeper(state.database, index, embeddings).write(row) == file["chunks_total"] > 1
    assert await index.file_count(row.id) == file["chunks_total"]
    wide, _ = await Retriever(state.database, index, embeddings, widest=0).search(scope, "storks on a roof", 5)
    narrow, _ = await Retriever(state.database, index, embeddings).search(scope, "storks on a roof", 5)
    assert [passage.chunk_id for passage in wide] == [passage.chunk_id for passage in narrow]
