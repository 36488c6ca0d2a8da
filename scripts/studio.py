"""`make studio`: LangGraph's studio server on the chat graph, with the embedded stack behind it.

Starts what the settings lack, migrates, then runs `langgraph dev`; arguments go on to it. Works offline: no key, no
account, no tracing. It needs a data folder of its own where the service is running (`DATA_DIR=.studio make studio`).
"""

import asyncio
import signal
import sys
from pathlib import Path

from rich.console import Console

from llama_service.runtime.keys import jwt_key_overrides
from llama_service.runtime.locks import FolderInUse
from llama_service.runtime.progress import ConsoleProgress
from llama_service.runtime.stack import EmbeddedStack
from llama_service.settings import Settings, environment_with, load_settings
from persistence.migrate import migrate

ROOT = Path(__file__).resolve().parent.parent
_OFFLINE = {
    "LANGSMITH_TRACING": "false",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_STRICT_MSGPACK": "true",
    "PYTHONPATH": str(ROOT),
}


def _settings() -> Settings:
    folder = load_settings(jwt_secret_key="only-to-find-the-folder-" + "x" * 16).data_dir
    return load_settings(**jwt_key_overrides(folder, create=True))


async def _run(settings: Settings) -> int:
    with ConsoleProgress(Console(highlight=False)) as progress:
        stack = EmbeddedStack(settings, progress)
        await stack.acquire()
        await stack.start()
        await stack.models_ready()
    try:
        key = settings.jwt_secret_key.get_secret_value()
        environment = environment_with({**_OFFLINE, "JWT_SECRET_KEY": key, **stack.environment})
        dsn = environment["DATABASE_URL"]
        await asyncio.to_thread(
            migrate, settings.model_copy(update={"database_url": type(settings.jwt_secret_key)(dsn)})
        )
        command = [str(Path(sys.executable).parent / "langgraph"), "dev", "--no-browser", "--no-reload", *sys.argv[1:]]
        child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, child.terminate)
        return await child.wait()
    finally:
        await stack.stop()


def main() -> int:
    """Run until the studio ends; return its exit code."""
    try:
        return asyncio.run(_run(_settings()))
    except FolderInUse as used:
        print(f"{used}\nThe studio needs a data folder of its own: DATA_DIR=.studio make studio", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
