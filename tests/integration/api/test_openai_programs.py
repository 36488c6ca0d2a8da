"""OpenAI's SDK for JavaScript, and two programs that people use, installed from the registry and unchanged."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.browser import ROOT, node_executable
from tests.integration.api.test_api_keys import make_key
from tests.providers import OpenAIServer
from tests.providers.vectors import DIMENSION
from tests.support import Person, Server

SCRIPT = ROOT / "tests" / "integration" / "api" / "openai_client.mjs"
INSTALLED = ROOT / ".artifacts" / "clients"


@pytest.fixture
async def key(anna: Person) -> str:
    return str((await make_key(anna, "chat", "models:read"))["key"])


async def run(*command: str | Path, variables: Mapping[str, str] = {}, folder: Path | None = None) -> str:
    """Run a program to its end; return what it printed. Fails where it fails."""
    running = await asyncio.create_subprocess_exec(
        *map(str, command),
        env={"PATH": os.defpath, **variables},
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await running.communicate()
    assert running.returncode == 0, output.decode()
    return output.decode()


def _install(name: str) -> Path:
    """Install a program as its lock file says, in an environment of its own; return the folder of its commands."""
    lock = ROOT / "requirements" / f"client-{name}.txt"
    mark = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = INSTALLED / f"{name}-{sys.version_info.major}.{sys.version_info.minor}-{mark}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--no-deps", "--require-hashes", "--requirement", lock], check=True)
        (folder / "complete").touch()
    return folder / "bin"


async def test_the_sdk_for_javascript(server: Server, key: str, openai: OpenAIServer) -> None:
    openai.script(reply="A llama.", rounds=[[("get_weather", {"city": "Oslo"})]])
    told = json.loads(await run(node_executable(), SCRIPT, ROOT / "ui" / "node_modules", f"{server.url}/v1", key))
    assert told["whole"] == told["text"] == told["spoken"] == "A llama."
    assert told["usage"] is True
    assert [(name, json.loads(given)) for name, given in told["called"]] == [("get_weather", {"city": "Oslo"})]
    assert told["events"][0] == "response.created"
    assert told["events"][-1] == "response.completed"
    assert told["embedded"] == [DIMENSION, DIMENSION]
    assert "openai/gpt-4" in told["models"]
    assert (told["unknown"]["kind"], told["unknown"]["status"]) == ("NotFoundError", 404)
    assert (told["stranger"]["kind"], told["stranger"]["status"]) == ("AuthenticationError", 401)
    assert (told["refused"]["kind"], told["refused"]["status"]) == ("BadRequestError", 400)


@pytest.mark.timeout(400)
async def test_llm_asks_streams_and_goes_on(server: Server, key: str, openai: OpenAIServer, tmp_path: Path) -> None:
    programs = await asyncio.to_thread(_install, "llm")
    settings = {
        "model_id": "ours",
        "model_name": "openai/gpt-4",
        "api_base": f"{server.url}/v1",
        "api_key_name": "ours",
        "can_stream": True,
    }
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([settings]))  # YAML reads JSON
    (tmp_path / "keys.json").write_text(json.dumps({"ours": key}))
    variables = {"LLM_USER_PATH": str(tmp_path), "HOME": str(tmp_path)}
    openai.script(reply="A llama, at your service.")
    asked = await run(programs / "llm", "-m", "ours", "-u", "Who are you?", variables=variables)
    assert asked.startswith("A llama, at your service.")
    assert "Token usage:" in asked
    whole = await run(programs / "llm", "-m", "ours", "--no-stream", "Who?", variables=variables)
    assert whole.strip() == "A llama, at your service."
    await run(programs / "llm", "-c", "And what did I ask?", variables=variables)
    sent = openai.chats[-1].body["messages"]
    assert [message["content"] for message in sent] == ["Who?", "A llama, at your service.", "And what did I ask?"]


_EDIT = """The function has to add.

calc.py
```
def add(a, b):
    return a + b
```
"""


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="aider installs on Python 3.10 to 3.12")
async def test_aider_edits_a_file(server: Server, key: str, openai: OpenAIServer, tmp_path: Path) -> None:
    programs = await asyncio.to_thread(_install, "aider-chat")
    project = tmp_path / "project"
    project.mkdir()
    (project / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    openai.script(reply=_EDIT)
    told = await run(
        programs / "aider",
        *("--model", "openai/openai/gpt-4", "--edit-format", "whole", "--message", "Mend add.", "--yes", "--no-git"),
        *("--no-check-update", "--no-show-model-warnings", "--no-analytics", "--no-show-release-notes"),
        *("--map-tokens", "0", "calc.py"),
        variables={
            "OPENAI_API_BASE": f"{server.url}/v1",
            "OPENAI_API_KEY": key,
            "HOME": str(tmp_path),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        folder=project,
    )
    assert (project / "calc.py").read_text() == "def add(a, b):\n    return a + b\n", told
    assert "Mend add." in openai.chats[-1].body["messages"][-1]["content"]
