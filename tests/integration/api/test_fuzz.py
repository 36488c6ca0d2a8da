"""What the OpenAPI document says is what the server does: generated requests, the well-formed and the others.

`make fuzz` runs the same with many more of them (FUZZ_EXAMPLES for each operation).
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from copy import copy
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from pydantic import SecretStr

from api import agent_server
from api.openai import responses, routes
from llama_service.settings import Settings
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_odd_input import routes_of
from tests.providers import OpenAIServer
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
    document = f"{own_server.url}/openapi.json"
    limits = ("--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS))
    code, output = await fuzz(root, tmp_path, document, *limits, "--exclude-path-regex", "^/langserve", *skipped)
    await root.close()
    assert code == 0, output


def described(*groups: tuple[APIRouter, str]) -> dict[str, Any]:
    """Return the OpenAPI document of routers, below a prefix each, that the application's own document leaves out."""
    found = []
    for router, prefix in groups:
        for route in map(copy, routes_of(router.routes)):
            route.include_in_schema, route.path_format = True, prefix + route.path_format
            found.append(route)
    return get_openapi(title="hidden", version="1", routes=found)


def pinned(document: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """Return a document whose fields and parameters of these names have these values, so that requests get far."""
    for schema in document["components"]["schemas"].values():
        fields = schema.get("properties", {})
        fields |= {name: {"const": value} for name, value in values.items() if name in fields}
    for operations in document["paths"].values():
        operations.pop("delete", None)
        for parameter in (each for operation in operations.values() for each in operation.get("parameters", ())):
            if parameter["name"] in values:
                parameter["schema"] = {"const": values[parameter["name"]]}
    return document


@pytest.mark.timeout(3600 if "FUZZ_EXAMPLES" in os.environ else 300)
async def test_generated_requests_are_no_errors_of_the_other_protocols(
    server: Server, anna: Person, openai: OpenAIServer, tmp_path: Path
) -> None:
    """`/v1` and `/langgraph`, whose documents are others': whatever comes, it is no error of this server."""
    openai.script(reply="Fine.")
    thread = (await anna.ask("Hello"))["conversation_id"]
    others = ((routes.router, ""), (routes.answers_router, ""), (responses.router, ""))
    document = described((agent_server.router, agent_server.PREFIX), *others)
    known = {"thread_id": thread, "assistant_id": "chat", "model": "openai/gpt-4"}
    path = tmp_path / "hidden.json"
    path.write_text(json.dumps(pinned(document, known)))
    many = "FUZZ_EXAMPLES" in os.environ
    limits = ("--max-examples", str(EXAMPLES if many else 3), "--phases", "coverage,fuzzing" if many else "fuzzing")
    code, output = await fuzz(anna, tmp_path, str(path), *limits, "--checks", CHECKS[0], "--url", server.url)
    assert code == 0, output


async def fuzz(person: Person, folder: Path, document: str, *arguments: str) -> tuple[int, str]:
    """Send generated requests as somebody; return schemathesis' exit code and output."""
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        "run",
        document,
        "--header",
        f"Authorization: {person.http.headers['Authorization']}",
        *arguments,
        *([] if "FUZZ_EXAMPLES" in os.environ else ["--generation-deterministic"]),
        "--continue-on-failure",
        "--suppress-health-check",
        "all",
        "--request-timeout",
        "30",
        "--warnings",
        "off",
        "--no-color",
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await run.communicate()
    return run.returncode or 0, output.decode()


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
