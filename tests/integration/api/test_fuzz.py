"""What the OpenAPI document says is what the server does: generated requests, the well-formed and the others.

`make fuzz` runs the same with many more of them (FUZZ_EXAMPLES for each operation).
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from llama_service.settings import Settings
from tests.integration.api.test_auth import envelope
from tests.support import Person, Server, migrated_database, serving

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "5"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
# Where a variable of the environment says "CI", hypothesis loads settings of its own, and they replace the health
# checks that the command line suppresses: a passing run then fails on how many examples were filtered out.
PROGRAM = "import hypothesis as h, schemathesis.cli as cli; h.settings.load_profile('default'); cli.schemathesis()"
# They end the session that everything else is asked in.
ENDS_THE_SESSION = ("/api/v1/auth/logout", "/api/v1/auth/sessions/{session_id}")


@pytest.fixture
async def own_server(settings: Settings, postgres: str, tmp_path: Path) -> AsyncIterator[Server]:
    """An instance for nobody else: its budgets, rules, limits and announcements hold for everybody on it."""
    own = {
        "database_url": SecretStr(await migrated_database(postgres, "fuzz")),
        "collection_name": "fuzz",
        "data_dir": tmp_path / "data",
    }
    async with serving(settings.model_copy(update=own)) as running:
        yield running


@pytest.mark.timeout(3600 if "FUZZ_EXAMPLES" in os.environ else 600)
async def test_generated_requests_get_documented_answers(own_server: Server, tmp_path: Path) -> None:
    root = await Person.join(own_server.url)
    with psycopg.connect(own_server.settings.postgres.libpq, autocommit=True) as database:
        database.execute("UPDATE users SET is_superuser = true WHERE username = %s", [root.name])
    skipped = [argument for path in ENDS_THE_SESSION for argument in ("--exclude-path", path)]
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        "run",
        f"{own_server.url}/openapi.json",
        "--header",
        f"Authorization: {root.http.headers['Authorization']}",
        "--checks",
        ",".join(CHECKS),
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        str(EXAMPLES),
        "--exclude-path-regex",
        "^/langserve",
        *skipped,
        *([] if "FUZZ_EXAMPLES" in os.environ else ["--generation-deterministic"]),
        "--continue-on-failure",
        "--suppress-health-check",
        "all",
        "--request-timeout",
        "30",
        "--warnings",
        "off",
        "--no-color",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await run.communicate()
    await root.close()
    assert run.returncode == 0, output.decode()


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"{not json", b'{"query": "\xc3\x28"}', b""])
async def test_a_body_that_is_no_json_is_refused(body: bytes, anna: Person) -> None:
    said = await anna.http.post("/search", content=body, headers={"Content-Type": "application/json"})
    assert said.status_code == (422 if body == b"" else 400)
    assert envelope(said)["code"] == ("validation_error" if body == b"" else "bad_request")


async def test_another_method_is_told_which_ones_there_are(anna: Person) -> None:
    thread = (await anna.http.post("/conversations", json={})).json()["id"]
    for path, methods in {
        f"/conversations/{thread}": "DELETE, GET, PATCH",
        "/conversations": "GET, POST",
        "/auth/me": "DELETE, GET, PATCH",
        "/chat": "POST",
    }.items():
        said = await anna.http.put(path, json={})
        assert (said.status_code, said.headers["Allow"], envelope(said)["code"]) == (405, methods, "method_not_allowed")


async def test_an_address_that_is_none_is_not_found_by_any_method(anna: Person) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        said = await anna.http.request(method, "/nowhere")
        assert (said.status_code, envelope(said)["code"]) == (404, "not_found")


async def test_every_operation_documents_what_it_can_not_avoid(server: Server, anna: Person) -> None:
    document = (await anna.http.get(f"{server.url}/openapi.json")).json()
    schema = {"$ref": "#/components/schemas/ErrorEnvelope"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            found = operation["responses"]
            assert "Allow" in found["405"]["headers"], (method, path)
            for status in {"400", "422"} & set(found):
                assert found[status]["content"]["application/json"]["schema"] == schema, (method, path)
            assert ("requestBody" in operation) <= ("400" in found), (method, path)
