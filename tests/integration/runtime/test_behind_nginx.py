"""Under a path, behind the real nginx with the configuration that ships: API, streams, uploads, sign-in, LangServe."""

import asyncio
import json
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import openai as openai_sdk
import pytest
from langserve import RemoteRunnable

from api.deps import COOKIE
from llama_service.settings import Settings, load_settings
from tests.integration.api.test_oidc import Browser
from tests.integration.runtime.nginx import PROGRAM, Nginx, nginx_before
from tests.providers import OidcServer, OpenAIServer
from tests.support import Person, Server, events_of, serving

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="the system has no nginx")


@pytest.fixture(scope="module")
async def behind(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Server, Nginx]]:
    """A server with ROOT_PATH=/ai, and the nginx before it."""
    given = settings.model_dump(exclude={"root_path", "inline_worker"}, exclude_unset=True)
    async with serving(load_settings(_env_file=None, **given, root_path="/ai")) as running:
        port = urlsplit(running.url).port
        assert port is not None
        async with nginx_before(port, tmp_path_factory.mktemp("nginx")) as nginx:
            yield running, nginx


@pytest.fixture
async def person(behind: tuple[Server, Nginx]) -> AsyncIterator[Person]:
    """Somebody who has registered through nginx, under the path."""
    someone = await Person.join(f"http://127.0.0.1:{behind[1].port}/ai")
    yield someone
    await someone.close()


async def test_the_api_answers_with_the_path_and_without(behind: tuple[Server, Nginx], person: Person) -> None:
    server, nginx = behind
    assert (await person.get("/auth/me"))["username"] == person.name
    async with httpx.AsyncClient() as http:
        # A proxy that cuts the path off, and probes of the inside.
        for address in (f"{server.url}/health", f"{server.url}/ai/health", f"http://127.0.0.1:{nginx.port}/ai/health"):
            assert (await http.get(address)).json()["status"] == "healthy", address
        assert (await http.get(f"http://127.0.0.1:{nginx.port}/ai/metrics")).status_code == 404
        wrong = await http.get(f"{server.url}/ai/api/v1/nowhere")
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "not_found")
        other = await http.put(f"{server.url}/ai/api/v1/conversations", json={})
        assert (other.status_code, other.headers["Allow"]) == (405, "GET, POST")
        shape = await http.post(f"{server.url}/ai/v1/chat/completions", json={})
        assert shape.json()["error"]["type"], "an error of /v1 has OpenAI's shape"


async def test_scopes_of_keys_hold_under_the_path(behind: tuple[Server, Nginx], person: Person) -> None:
    key = (await person.http.post("/api-keys", json={"name": "x", "scopes": ["files:read"]})).json()["key"]
    async with httpx.AsyncClient(base_url=str(person.http.base_url), headers={"x-api-key": key}) as http:
        assert (await http.get("/files")).status_code == 200
        assert (await http.get("/conversations")).status_code == 403
        invoked = await http.post(f"http://127.0.0.1:{behind[1].port}/ai/langserve/chat/invoke", json={"input": {}})
        assert invoked.status_code == 403


async def test_tokens_come_one_by_one(person: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["one ", "two ", "three"], delay=0.5)
    loop, times = asyncio.get_running_loop(), []
    async with person.http.stream("POST", "/chat/stream", json={"message": "Count."}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for event in events_of(answer):
            if event.name == "chunk":
                times.append(loop.time())
    assert len(times) == 3
    assert times[-1] - times[0] > 0.5


async def test_openais_and_langserves_streams_are_not_held_back(
    behind: tuple[Server, Nginx], person: Person, openai: OpenAIServer
) -> None:
    base = f"http://127.0.0.1:{behind[1].port}/ai"
    openai.script(tokens=["one ", "two ", "three"], delay=0.5)
    loop = asyncio.get_running_loop()
    key = (await person.http.post("/api-keys", json={"name": "x", "scopes": ["chat"]})).json()["key"]
    async with openai_sdk.AsyncOpenAI(base_url=f"{base}/v1", api_key=key) as client:
        times = []
        stream = await client.chat.completions.create(
            model="openai/gpt-4", messages=[{"role": "user", "content": "Count."}], stream=True
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                times.append(loop.time())
    assert times[-1] - times[0] > 0.5
    remote: RemoteRunnable[object, str] = RemoteRunnable(
        f"{base}/langserve/chat", headers={"Authorization": f"Bearer {key}"}
    )
    times = [loop.time() async for _ in remote.astream({"messages": [{"type": "human", "content": "Count."}]})]
    assert times[-1] - times[0] > 0.5


async def test_an_upload_passes_and_one_that_is_too_large_is_told(person: Person, settings: Settings) -> None:
    # More than nginx takes where nobody tells it to.
    file = await person.indexed("notes.txt", b"The lighthouse was built in 1876.\n" * 35_000)
    assert file["status"] == "completed"
    huge = await person.http.post(
        "/files/upload", files={"file": ("huge.txt", b"x" * (settings.max_filesize_bytes + 1))}
    )
    assert (huge.status_code, huge.json()["error"]["code"]) == (413, "file_too_large")


async def test_cookies_and_addresses_have_the_path(behind: tuple[Server, Nginx], person: Person) -> None:
    base = f"http://127.0.0.1:{behind[1].port}"
    async with httpx.AsyncClient(base_url=base) as http:
        answer = await http.post("/ai/api/v1/auth/login", json={"username": person.name, "password": person.password})
        (cookie,) = answer.headers.get_list("set-cookie")
        assert cookie.startswith(f"{COOKIE}=")
        assert "Path=/ai;" in f"{cookie};"
        assert (await http.get("/ai/api/v1/auth/me")).status_code == 200
        page = (await http.get("/ai/c/some-conversation")).text
        assert 'src="/ai/assets/' in page
        assert 'content="/ai"' in page
        docs = (await http.get("/ai/docs")).text
        assert '"/ai/docs-assets/' in docs
        assert (await http.get("/ai/docs-assets/start.js")).text.count("/ai/openapi.json") == 1
        assert (await http.get("/ai/openapi.json")).json()["servers"] == [{"url": "/ai"}]
        assert (await http.get("/ai/playground")).headers["location"] == "/ai/langserve/chat/playground/"
        playground = (await http.get("/ai/langserve/chat/playground/")).text
        assert "/ai/langserve/chat/playground/assets/" in playground.replace('"ai/', '"/ai/')
        schema = await http.get("/ai/langserve/chat/c/x/input_schema")
        assert schema.headers["location"] == "/ai/langserve/chat/input_schema"
        out = await http.post("/ai/api/v1/auth/logout", headers={"X-Requested-With": "llama-service"})
        assert "Path=/ai" in out.headers["set-cookie"]


async def test_sign_in_through_a_provider_comes_back_under_the_path(
    behind: tuple[Server, Nginx], company: OidcServer
) -> None:
    company.reset()
    company.join("under-a-path")
    base = f"http://127.0.0.1:{behind[1].port}"
    browser = Browser(f"{base}/ai")
    page = (await browser.http.get(f"{base}/ai/api/v1/auth/oidc/company/login?to=/files")).headers["location"]
    # The address that is registered at the provider: with nginx's port, and with the path.
    (registered,) = parse_qs(urlsplit(page).query)["redirect_uri"]
    assert registered == f"{base}/ai/api/v1/auth/oidc/company/callback"
    address = await browser.at_provider(page, "under-a-path")
    assert await browser.back(address) == "/ai/files"
    assert (await browser.http.get(f"{base}/ai/api/v1/auth/me")).json()["username"] == "under-a-path"
    await browser.http.aclose()


async def test_the_callers_address_and_scheme_are_believed(
    behind: tuple[Server, Nginx], person: Person, company: OidcServer
) -> None:
    nginx = behind[1]
    sessions = (await person.get("/auth/sessions"))["items"]
    assert {session["ip"] for session in sessions} == {"127.0.0.1"}
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=nginx.certificate)) as http:
        answer = await http.get(f"https://localhost:{nginx.tls_port}/ai/api/v1/auth/oidc/company/login")
        assert f"https%3A%2F%2Flocalhost%3A{nginx.tls_port}%2Fai%2Fapi" in answer.headers["location"]
        assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_ipv6_reaches_it(behind: tuple[Server, Nginx]) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"http://[::1]:{behind[1].port}/ai/health")
        assert answer.json()["status"] == "healthy"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the system has no curl")
async def test_http_2_streams(
    behind: tuple[Server, Nginx], person: Person, openai: OpenAIServer, tmp_path: Path
) -> None:
    nginx = behind[1]
    openai.script(reply="Spoken over HTTP/2.")
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"message": "Hello"}))
    run = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--http2", "--cacert", str(nginx.certificate), "--write-out", "%{http_version}"),
        *("--header", f"Authorization: {person.http.headers['Authorization']}"),
        *("--header", "Content-Type: application/json", "--data", f"@{body}"),
        f"https://localhost:{nginx.tls_port}/ai/api/v1/chat/stream",
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await run.communicate()
    assert output.decode().endswith("2"), output
    assert "event: done" in output.decode()
