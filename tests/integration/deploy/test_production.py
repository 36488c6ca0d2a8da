"""The checklist of docs/production.md: its commands are run as they stand there, and say what it says they say.

Blocks called `console` are about what is not here: another machine, a certificate, a release that was downloaded.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from auth.admin import create_admin
from llama_service.settings import Settings, load_settings
from tests.integration.api.test_two_factor import switch_on
from tests.providers import OpenAIServer
from tests.support import PASSWORD, Person, Server, migrated_database, new_database, serving

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
# As an operator has set it after going through the list.
PRODUCTION = {"allow_registration": False, "cookie_secure": True, "admin_two_factor": True, "inline_worker": False}


@pytest.fixture(scope="module")
async def production(
    settings: Settings, postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """An installation of its own."""
    given = settings.model_dump(exclude=set(PRODUCTION), exclude_unset=True)
    given["database_url"] = await migrated_database(postgres, "production")
    given["data_dir"] = tmp_path_factory.mktemp("production")
    given["collection_name"] = f"production-{uuid4().hex[:8]}"
    async with serving(load_settings(_env_file=None, **given, **PRODUCTION)) as running:
        yield running


def commands() -> list[tuple[str, str]]:
    """Return the commands of the list, each with what it prints; empty where nothing is said of it."""
    found = []
    for block in BLOCKS:
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            command, _, told = line.partition("# → ")
            found.append((command.strip(), told.strip()))
    return found


def test_each_part_of_the_list_is_proved() -> None:
    parts = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:-1]
    assert len(parts) > 8
    for part in parts:
        assert "- [ ]" in part
        assert "```" in part, part.splitlines()[0]
    assert "production.md" in (ROOT / "README.md").read_text(encoding="utf-8")


async def test_the_commands_prove_it(production: Server, postgres: str, openai: OpenAIServer, tmp_path: Path) -> None:
    settings = production.settings
    openai.script(reply="Hello.")
    assert await asyncio.to_thread(create_admin, settings, "chief", "chief@example.com", PASSWORD)
    chief = await Person.enter(production.url, "chief", PASSWORD)
    app, _ = await switch_on(chief)
    await chief.close()
    replaced = {
        "https://chat.example.com": production.url,
        '"admin", "password": "…", "code": "123456"': (f'"chief", "password": "{PASSWORD}", "code": "{app.code()}"'),
        "postgresql://…/rehearsal": new_database(postgres, "rehearsal"),
        "/mnt/backups": str(tmp_path / "backups"),
    }
    lines = ["set -uo pipefail"]
    for number, (command, told) in enumerate(commands()):
        for shown, used in replaced.items():
            command = command.replace(shown, used)
        lines.append(f"{{ {command}\n}} > out.{number} 2>&1 || echo 'failed: {number}'" if told else command)
    bin_folder = Path(sys.executable).parent
    run = await asyncio.create_subprocess_exec(
        *("bash", "-c", "\n".join(lines)),
        cwd=tmp_path,
        env={**settings.as_variables(), "PATH": f"{bin_folder}{os.pathsep}{os.defpath}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await run.communicate()
    assert output.decode() == ""
    proofs = [(number, command, told) for number, (command, told) in enumerate(commands()) if told]
    assert len(proofs) > 20
    printed = {number: (tmp_path / f"out.{number}").read_text() for number, _, _ in proofs}
    assert [(command, printed[number]) for number, command, told in proofs if told not in printed[number]] == []
