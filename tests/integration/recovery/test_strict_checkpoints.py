"""A forged blob in a checkpoint table is data, never a call: in a process that is started as operators start it."""

import json
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import ormsgpack
import psycopg
import pytest
from langgraph.checkpoint.serde.jsonplus import (
    EXT_CONSTRUCTOR_KW_ARGS,
    EXT_CONSTRUCTOR_POS_ARGS,
    EXT_CONSTRUCTOR_SINGLE_ARG,
    EXT_METHOD_SINGLE_ARG,
    EXT_PYDANTIC_V2,
    JsonPlusSerializer,
)

from bench.load import Account
from bench.stage import Script, Stage
from tests.integration.recovery.conftest import Serve
from tests.support import eventually

pytestmark = pytest.mark.slow


class _Call:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, (self.command,)


def forgeries(command: str) -> dict[str, tuple[str, bytes]]:
    """Return blobs that would run a command where they are restored without care, by name: form and bytes."""

    def packed(code: int, *parts: Any) -> tuple[str, bytes]:
        return "msgpack", ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(parts)))

    call = {"lc": 2, "type": "constructor", "id": ["os", "system"], "args": [command]}
    return {
        "one argument": packed(EXT_CONSTRUCTOR_SINGLE_ARG, "os", "system", command),
        "arguments": packed(EXT_CONSTRUCTOR_POS_ARGS, "os", "system", [command]),
        "named arguments": packed(EXT_CONSTRUCTOR_KW_ARGS, "subprocess", "run", {"args": command, "shell": True}),
        "a method": packed(EXT_METHOD_SINGLE_ARG, "os", "path", command, "os.system"),
        "a model": packed(EXT_PYDANTIC_V2, "subprocess", "Popen", {"args": command, "shell": True}, "model_validate"),
        "langchain": ("json", json.dumps(call).encode()),
        "pickle": ("pickle", pickle.dumps(_Call(command))),
    }


async def test_forged_blobs_are_not_run(
    serve: Serve, parts: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    # The environment says the opposite: it must not matter.
    service = await serve("strict", LANGGRAPH_STRICT_MSGPACK="false")
    await parts.say(Script(tokens=8, rate=0))
    anna = await Account(http, service.url).join()
    for name, (form, blob) in forgeries(f"touch {tmp_path}/ran").items():
        conversation = await anna.conversation(turns=1)
        await eventually(partial(forged, parts, conversation, form, blob))
        state = await anna.call("GET", f"/conversations/{conversation}/checkpoints")
        assert state["items"], name
        await anna.ask("Still there?", conversation_id=conversation)
        assert not (tmp_path / "ran").exists(), name


async def forged(parts: Stage, thread: str, form: str, blob: bytes) -> bool:
    """Put a blob in the place of all messages of a thread; return whether there were any."""
    query = "UPDATE checkpoint_blobs SET type = %s, blob = %s WHERE thread_id = %s AND channel = 'messages'"
    async with await psycopg.AsyncConnection.connect(parts.environment["DATABASE_URL"], autocommit=True) as connection:
        return (await connection.execute(query, (form, blob, thread))).rowcount > 0


def test_the_forgeries_are_real(tmp_path: Path) -> None:
    """LangGraph's own default runs one of them: the test above would notice."""
    careless = JsonPlusSerializer(pickle_fallback=True, allowed_msgpack_modules=True)
    for name in ("arguments", "pickle"):
        careless.loads_typed(forgeries(f"touch {tmp_path}/{name}")[name])
        assert (tmp_path / name).exists()
