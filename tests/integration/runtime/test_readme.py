"""Every command of README and CONTRIBUTING, as it stands there, from the checkout and from the wheel."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from llama_service.runtime.chroma import EmbeddedChroma
from llama_service.runtime.http import get
from llama_service.runtime.process import base_environment, free_port
from tests.integration.api.test_two_factor import switch_on
from tests.providers import OllamaServer, OpenAIServer
from tests.support import Person, Server, eventually, new_database

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"
# Each is run below, by the test that is named so.
RUN_BELOW = {"serve --workers N", "worker", "migrate", "create-admin", "reset-two-factor NAME", "reindex", "up"}
RUN_BELOW |= {"audit verify", "doctor", "backup TARGET", "restore SOURCE", "verify-backup SOURCE", "rotate-keys"}


def blocks(language: str) -> list[str]:
    """Return the README's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_every_command_of_the_table_is_run_here() -> None:
    table = README[README.index("| command | does |") :].split("\n\n")[0]
    assert set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) == RUN_BELOW


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_make_command_exists(text: str) -> None:
    commands = set(re.findall(r"^make [a-z]+[^#\n`]*|`make [a-z]+[^`]*`", text, re.MULTILINE))
    assert len(commands) > 2
    for command in commands:
        words = command.strip("` ").split()
        tried = subprocess.run([words[0], "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True)
        assert tried.returncode == 0, (command, tried.stderr)


async def test_the_examples_of_the_terminal(server: Server, openai: OpenAIServer, tmp_path: Path) -> None:
    (script,) = (block for block in blocks("sh") if "curl" in block)
    name = f"u{uuid4().hex[:10]}"
    script = script.replace(ADDRESS, server.url).replace("anna@example.com", f"{name}@example.com")
    script = script.replace('"anna"', f'"{name}"')
    run = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, wrong = await run.communicate()
    told = output.decode()
    assert run.returncode == 0, wrong.decode()
    assert '"error":{' not in told
    for part in (f'"username":"{name}"', '"name":"LICENSE"', '"response":', "event: start", "event: done"):
        assert part in told


@pytest.mark.parametrize("library", ["langserve", "langgraph_sdk", "openai"])
async def test_the_examples_in_python(library: str, server: Server, anna: Person, openai: OpenAIServer) -> None:
    (program,) = (block for block in blocks("python") if f"from {library} import" in block)
    openai.script(reply="Hello to you.")
    program = f"token = {anna.http.headers['Authorization'].removeprefix('Bearer ')!r}\n" + program
    if "await " in program:
        # As in a notebook, where such lines stand alone.
        lines = "\n".join(f"    {line}" for line in program.splitlines())
        program = f"import asyncio\nasync def main():\n{lines}\nasyncio.run(main())"
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-c", program.replace(ADDRESS, server.url)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, wrong = await run.communicate()
    assert output.decode() == "Hello to you.", wrong.decode()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the command of a virtual environment that has our wheel, beside the packages that the tests run with."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (made,) = (folder / "dist").glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (own,) = Path(sys.prefix).glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "zipfile", "-e", str(made), str(site)]
    subprocess.run(install, check=True)
    # The packages of the tests, but for what points back at the checkout.
    (site / "packages.pth").write_text(f"{own}\n")
    command = folder / "venv" / "bin" / "llama-service"
    command.write_text(
        f"#!{folder}/venv/bin/python\nimport sys\nfrom llama_service.__main__ import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"
    )
    command.chmod(0o755)
    return command


@pytest.fixture(params=["checkout", "wheel"])
def command(request: pytest.FixtureRequest) -> Path:
    """Return `llama-service`, as make has put it into the checkout, or as the wheel brings it."""
    if request.param == "checkout":
        return Path(sys.executable).with_name("llama-service")
    found: Path = request.getfixturevalue("wheel")
    return found


class Operator:
    """Types commands in a folder of his own, with settings for a database of his own."""

    def __init__(self, command: Path, folder: Path, variables: dict[str, str]) -> None:
        self.command = command
        self.folder = folder
        self.environment = {**base_environment(), **variables}

    async def run(self, *words: str) -> str:
        """Run a command to its end and return what it has said."""
        process = await self._start(words, asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    @asynccontextmanager
    async def running(self, *words: str) -> AsyncIterator[Path]:
        """Run a command, and end it in order at the exit; gives the file of what it says."""
        log = self.folder / f"{words[0]}.log"
        with log.open("wb") as output:
            process = await self._start(words, output.fileno())
        try:
            yield log
            assert process.returncode is None, log.read_text()
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 30)
            assert process.returncode in (0, -signal.SIGTERM), log.read_text()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _start(self, words: tuple[str, ...], output: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            str(self.command), *words, cwd=self.folder, env=self.environment, stdout=output, stderr=output
        )


@pytest.fixture
def operator(command: Path, postgres: str, chroma: EmbeddedChroma, ollama: OllamaServer, tmp_path: Path) -> Operator:
    (sign_in,) = blocks("env")
    (tmp_path / ".env").write_text(sign_in, encoding="utf-8")
    return Operator(
        command,
        tmp_path,
        {
            "DATABASE_URL": new_database(postgres, "readme"),
            "CHROMA_URL": chroma.url,
            "CHROMA_TOKEN": chroma.token,
            "COLLECTION_NAME": f"readme_{uuid4().hex}"[:30],
            "JWT_SECRET_KEY": "r" * 40,
            "DEFAULT_MODEL_SOURCE": "ollama",
            "MODEL_FALLBACK_SOURCES": "ollama",
            "EMBEDDINGS_SOURCE": "ollama",
            "EMBEDDINGS_BASEURL": ollama.url,
            "INLINE_WORKER": "false",
        },
    )


async def _answers(url: str) -> bool:
    try:
        return (await get(f"{url}/health"))[0] == 200
    except (OSError, ValueError):
        return False


async def test_the_commands_of_an_installation(operator: Operator, ollama: OllamaServer) -> None:
    """migrate, create-admin, serve --workers N, worker, reindex, rotate-keys, reset-two-factor, audit verify.

    The sign-in provider of the README's example reaches each worker.
    """
    await operator.run("migrate")
    await operator.run("migrate")
    secret = "an operator's passphrase"
    options = ("--username", "chief", "--email", "chief@example.com", "--password", secret)
    await operator.run("create-admin", *options)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with operator.running("serve", "--workers", "2", "--port", str(port)), operator.running("worker"):
        await eventually(lambda: _answers(url), 90)
        chief = await Person.enter(url, "chief", secret)
        try:
            assert (await chief.get("/auth/me"))["is_superuser"] is True
            page = await chief.http.get(f"{url}/")
            assert '<div id="root">' in page.text
            file = await chief.indexed("tower.txt", b"The tower of the harbour is ninety metres high.")
            assert "1" in await operator.run("reindex")
            answer = await chief.ask("How high is the tower of the harbour?", file_ids=[file["id"]])
            assert [source["file_name"] for source in answer["sources"]] == ["tower.txt"]
            methods = await chief.get("/auth/methods")
            assert methods["oidc"] == [{"name": "company", "label": "Company account"}]
            await switch_on(chief)
            assert "second_factors: 0 encrypted anew." in await operator.run("rotate-keys")
            assert "is off" in await operator.run("reset-two-factor", "chief")
            assert "rows are what was written" in await operator.run("audit", "verify")
            await chief.sign_in()
        finally:
            await chief.close()


async def test_up(command: Path, ollama: OllamaServer, tmp_path: Path) -> None:
    """Real Postgres, Chroma and embeddings; the chat model alone is a double, because the real one takes its minute."""
    port = free_port()
    variables = {"DEFAULT_MODEL_SOURCE": "ollama", "EMBEDDED_CHAT_URL": "http://127.0.0.1:9/v1", "PORT": str(port)}
    variables |= {"DATA_DIR": str(tmp_path / "data"), "EMBEDDINGS_BASEURL": ollama.url}
    url = f"http://127.0.0.1:{port}"
    async with Operator(command, tmp_path, variables).running("up") as log:
        await eventually(lambda: _answers(url), 120)
        await eventually(lambda: _says(log, "llama-service is ready"), 60)
        password = (tmp_path / "data" / "admin-password").read_text().strip()
        admin = await Person.enter(url, "admin", password)
        try:
            file = await admin.indexed("tower.txt", b"The tower of the harbour is ninety metres high.")
            answer = await admin.ask("How high is the tower of the harbour?", file_ids=[file["id"]])
            assert [source["file_name"] for source in answer["sources"]] == ["tower.txt"]
        finally:
            await admin.close()


async def _says(log: Path, text: str) -> bool:
    return text in await asyncio.to_thread(log.read_text)
