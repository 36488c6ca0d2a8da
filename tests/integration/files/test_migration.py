"""The migration to versions of files, on a database that is in use."""

from uuid import uuid4

import psycopg
import pytest
from alembic import command

from llama_service.settings import Settings
from persistence.migrate import alembic_config, migrate
from tests.conftest import Database
from tests.support import new_database


@pytest.fixture
def before(postgres: str, settings: Settings) -> Settings:
    """Settings of a database with the first schema."""
    dsn = new_database(postgres, "old")
    made = settings.model_copy(update={"database_url": type(settings.jwt_secret_key)(dsn)})
    command.upgrade(alembic_config(made.postgres_migration), "0001")
    return made


def add_file(connection: Database, user: object) -> object:
    file = uuid4()
    connection.execute(
        "INSERT INTO files (id, user_id, name, mime, size, sha256) VALUES (%s, %s, 'a.txt', 'text/plain', 1, 'x')",
        (file, user),
    )
    return file


async def test_files_of_before_stay_and_can_be_replaced(before: Settings) -> None:
    user = uuid4()
    with psycopg.connect(before.postgres.libpq, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users (id, username, email, hashed_password, is_active, is_superuser, is_verified)"
            " VALUES (%s, 'u', 'u@example.com', 'x', true, false, true)",
            (user,),
        )
        old = add_file(connection, user)
        migrate(before)
        assert connection.execute("SELECT id, replaces_id FROM files").fetchall() == [(old, None)]
        new = add_file(connection, user)
        connection.execute("UPDATE files SET replaces_id = %s WHERE id = %s", (old, new))
        connection.execute("DELETE FROM files WHERE id = %s", (old,))
        assert connection.execute("SELECT id, replaces_id FROM files").fetchall() == [(new, None)]
        migrate(before)


async def test_files_of_conversations_do_not_enter_the_library_by_an_upgrade(before: Settings) -> None:
    """Nobody finds in a new chat what he has put into another one; what was everywhere stays everywhere."""
    user, thread = uuid4(), uuid4()
    with psycopg.connect(before.postgres.libpq, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users (id, username, email, hashed_password, is_active, is_superuser, is_verified)"
            " VALUES (%s, 'u', 'u@example.com', 'x', true, false, true)",
            (user,),
        )
        connection.execute("INSERT INTO conversations (id, user_id) VALUES (%s, %s)", (thread, user))
        free, attached = add_file(connection, user), add_file(connection, user)
        connection.execute("INSERT INTO conversation_files VALUES (%s, %s)", (thread, attached))
        migrate(before)
        found = connection.execute("SELECT id, in_library FROM files").fetchall()
        assert dict(found) == {free: True, attached: False}
        assert connection.execute("SELECT search_library FROM conversations").fetchall() == [(True,)]


async def test_opinions_runs_and_chats_of_before_stay(before: Settings) -> None:
    """From the schema before projects and shares, with an open run and an opinion that had no time of its own."""
    command.upgrade(alembic_config(before.postgres_migration), "0009")
    user, chat, question, answer, run, rival = (uuid4() for _ in range(6))
    with psycopg.connect(before.postgres.libpq, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users (id, username, email, hashed_password, is_active, is_superuser, is_verified)"
            " VALUES (%s, 'u', 'u@example.com', 'x', true, false, true)",
            (user,),
        )
        connection.execute("INSERT INTO conversations (id, user_id, title) VALUES (%s, %s, 'T')", (chat, user))
        for message, parent, role in ((question, None, "user"), (answer, question, "assistant")):
            connection.execute(
                "INSERT INTO messages (id, conversation_id, parent_id, role, content) VALUES (%s, %s, %s, %s, 'x')",
                (message, chat, parent, role),
            )
        connection.execute("UPDATE messages SET rating = 'down', comment = 'meh' WHERE id = %s", (answer,))
        start = (
            "INSERT INTO runs (id, conversation_id, user_id, user_message_id, message_id, worker, lease_until, request)"
            " VALUES (%s, %s, %s, %s, %s, %s, now(), %s::jsonb)"
        )
        of_run = (chat, user, question, answer, uuid4())
        connection.execute(start, (run, *of_run, '{"model_source": "openai", "model_name": "a"}'))
        migrate(before)
        found = connection.execute(
            "SELECT rating, comment, rating_shows_text, rated_at = created_at FROM messages WHERE id = %s", (answer,)
        ).fetchone()
        assert found == ("down", "meh", False, True)
        kept = connection.execute("SELECT title, temporary, project_id, assistant_id FROM conversations").fetchone()
        assert kept == ("T", False, None, None)
        connection.execute(start, (rival, *of_run, '{"model_source": "openai", "model_name": "b"}'))
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(start, (uuid4(), *of_run, '{"model_source": "openai", "model_name": "b"}'))


async def test_what_people_saved_before_libraries_stays(before: Settings) -> None:
    command.upgrade(alembic_config(before.postgres_migration), "0010")
    user, project, assistant, chat = (uuid4() for _ in range(4))
    with psycopg.connect(before.postgres.libpq, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users (id, username, email, hashed_password, is_active, is_superuser, is_verified)"
            " VALUES (%s, 'u', 'u@example.com', 'x', true, false, true)",
            (user,),
        )
        for table, row in (("projects", project), ("assistants", assistant)):
            connection.execute(f"INSERT INTO {table} (id, user_id, name) VALUES (%s, %s, 'N')", (row, user))
        columns = "(id, user_id, project_id, assistant_id)"
        connection.execute(
            f"INSERT INTO conversations {columns} VALUES (%s, %s, %s, %s)", (chat, user, project, assistant)
        )
        migrate(before)
        for table, expected in (("projects", []), ("assistants", []), ("conversations", None)):
            assert connection.execute(f"SELECT library_ids FROM {table}").fetchall() == [(expected,)]
