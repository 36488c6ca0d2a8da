"""`llama-service doctor` on healthy and on broken installations: it says what is wrong, and what to do."""

from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from llama_service.settings import Settings
from tests.providers import OllamaServer, OpenAIServer
from tests.support import command, migrated_database, new_database


@pytest.fixture
def environment(settings: Settings, openai: OpenAIServer, ollama: OllamaServer, tmp_path: Path) -> dict[str, str]:
    """What an operator has set, whose parts all answer."""
    assert settings.chroma_url is not None
    assert settings.chroma_token is not None
    return {
        "JWT_SECRET_KEY": "k" * 40,
        "DATA_DIR": str(tmp_path),
        "CHROMA_URL": settings.chroma_url,
        "CHROMA_TOKEN": settings.chroma_token.get_secret_value(),
        # Its own collections, which hold what its database has: nothing.
        "COLLECTION_NAME": f"doctor-{uuid4().hex[:8]}",
        "DEFAULT_MODEL_SOURCE": "openai",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": openai.url,
        "EMBEDDINGS_SOURCE": "openai",
        "EMBEDDINGS_BASEURL": ollama.url,
    }


async def test_all_is_well(environment: dict[str, str], postgres: str) -> None:
    address = await migrated_database(postgres, "well")
    code, said = await command("doctor", DATABASE_URL=address, **environment)
    assert code == 0, said
    assert "FAILURE" not in said
    for part in ("the schema is up to date", "agrees with the database's", "GiB are free", "openai answers", "Chroma"):
        assert part in said


async def test_what_is_wrong_is_said_with_what_to_do(environment: dict[str, str], postgres: str) -> None:
    address = await migrated_database(postgres, "ill")
    with psycopg.connect(address, autocommit=True) as database:
        user, file = uuid4(), uuid4()
        database.execute(
            "INSERT INTO users (id, username, email, hashed_password, is_active, is_superuser, is_verified)"
            " VALUES (%s, 'anna', 'anna@example.com', '', true, false, false)",
            (user,),
        )
        database.execute(
            "INSERT INTO files (id, user_id, name, mime, size, sha256, status)"
            " VALUES (%s, %s, 'x.txt', 'text/plain', 1, 'x', 'failed')",
            (file, user),
        )
    ill = environment | {
        "PUBLIC_URL": "https://chat.example.com",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "MODEL_FALLBACK_SOURCES": "ollama",
    }
    code, said = await command("doctor", DATABASE_URL=address, **ill)
    assert code == 0, said
    for part in ("COOKIE_SECURE=true", "1 files could not be read", "openai does not answer", "ollama answers"):
        assert part in said


async def test_what_can_not_work_is_a_failure(environment: dict[str, str], postgres: str) -> None:
    code, said = await command("doctor", DATABASE_URL=new_database(postgres, "empty"), **environment)
    assert (code, "the schema is absent" in said, "llama-service migrate" in said) == (1, True, True), said
    address = await migrated_database(postgres, "newer")
    with psycopg.connect(address, autocommit=True) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        # The version that has migrated it says that this one can go on, then that it can't.
        code, said = await command("doctor", DATABASE_URL=address, **environment)
        assert (code, "of a newer version than this one, which can work with it" in said) == (0, True), said
        database.execute("UPDATE schema_floor SET oldest_code = '9998'")
    code, said = await command("doctor", DATABASE_URL=address, **environment)
    assert (code, "FAILURE   database: the schema (9999) is of a newer version" in said) == (1, True), said
    nowhere = "postgresql://nobody@127.0.0.1:9/nothing"
    away = environment | {"CHROMA_URL": "http://127.0.0.1:9"}
    code, said = await command("doctor", DATABASE_URL=nowhere, **away)
    assert (code, "FAILURE   database: can't be reached" in said) == (1, True), said
    assert "Traceback" not in said
