"""What operators look at: health, readiness, metrics, documentation, CORS, ids."""

import httpx

from llama_service.settings import Settings
from tests.support import Person, Server, serving


async def test_health_ready_and_metrics(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        health = (await client.get("/health")).json()
        assert set(health) == {"status", "version", "timestamp"}
        assert health["status"] == "healthy"
        ready = await client.get("/ready")
        assert ready.status_code == 200
        assert {"database", "queue", "vectors", "models"} <= set(ready.json()["checks"])
        assert "llama_requests_total" in (await client.get("/metrics")).text


async def test_documentation_is_complete_and_needs_no_other_host(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "http" not in page.text.replace("http-equiv", "")
        document = (await client.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        if not path.startswith("/api/v1"):
            continue
        for method, operation in operations.items():
            told = [code for code in operation["responses"] if code.startswith("2")]
            assert told, (method, path)
            assert operation.get("description"), (method, path)


async def test_request_ids_are_echoed_when_sane(server: Server, anna: Person) -> None:
    given = await anna.http.get("/auth/me", headers={"X-Request-ID": "trace-42"})
    assert given.headers["X-Request-ID"] == "trace-42"
    odd = await anna.http.get("/auth/me", headers={"X-Request-ID": "x y\tz"})
    assert odd.headers["X-Request-ID"] != "x y\tz"


async def test_cors_lets_in_what_is_listed(server: Server) -> None:
    asking = {"Access-Control-Request-Method": "POST"}
    async with httpx.AsyncClient(base_url=server.url) as client:
        good = await client.options("/api/v1/chat", headers={"Origin": "http://localhost:3000", **asking})
        assert good.headers["access-control-allow-origin"] == "http://localhost:3000"
        bad = await client.options("/api/v1/chat", headers={"Origin": "https://evil.example", **asking})
        assert "access-control-allow-origin" not in bad.headers


async def test_unknown_paths_and_methods_use_the_envelope(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        for answer in (await client.get("/api/v1/nonsense"), await client.get("/../../etc/passwd")):
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        wrong = await client.get("/api/v1/auth/login")
        assert wrong.status_code in (404, 405)
        assert "error" in wrong.json()


async def test_the_page_has_a_strict_policy(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        page = await client.get("/")
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "'unsafe-eval'" not in policy.replace("'wasm-unsafe-eval'", "")
        assert "<script>" not in page.text
        assert (await client.get("/c/anything")).text == page.text


async def test_a_password_in_a_providers_address_is_shown_to_nobody(settings: Settings) -> None:
    address = settings.openai_base_url.replace("://", "://gateway:hunter2@")
    async with serving(settings.model_copy(update={"openai_base_url": address, "inline_worker": False})) as running:
        anna = await Person.join(running.url)
        told = await anna.http.get("/models/status")
        await anna.close()
    assert told.json()["openai"]["url"] == settings.openai_base_url
    assert "hunter2" not in told.text
