"""What `llama-service up` does, seen from its terminal."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from llama_service.folders import make_empty, make_private
from llama_service.runtime.keys import ADMIN_NAME, admin_password_file
from llama_service.runtime.locks import FolderInUse
from llama_service.runtime.process import Child, ChildFailed, package_root
from llama_service.runtime.progress import ConsoleProgress
from llama_service.runtime.reload import Snapshot, restart_on_change, snapshot
from llama_service.runtime.running import announce, withdraw
from llama_service.runtime.service import (
    CrashLoop,
    PortTaken,
    begin_api,
    check_port,
    has_worker,
    keep_running,
    metrics_folder,
    prepare,
    service_url,
    start_api,
    start_worker,
)
from llama_service.runtime.stack import EmbeddedStack
from llama_service.settings import Settings

_EXIT_KILLED = 130
_SAME_PRESS = 0.5  # seconds


def run_up(settings: Settings, console: Console, *, reload: bool = False) -> int:
    """Run the service until a signal ends it; return the exit code: 0 after a signal, 1 where it could not go on."""
    try:
        make_private(settings.data_dir)
        check_port(settings.host, settings.port)
        asyncio.run(_up(settings, console, reload=reload))
    except asyncio.CancelledError:
        console.print("Stopped.")
        return 0
    except (ChildFailed, CrashLoop, FolderInUse, PortTaken, OSError) as failed:
        console.print(f"llama-service: {failed}", markup=False, soft_wrap=True)
        return 1
    return 0


async def _up(settings: Settings, console: Console, *, reload: bool) -> None:
    children: list[Child] = []
    _stop_on_signals(console, children)
    password_file = admin_password_file(settings.data_dir.resolve())
    known = password_file.exists()
    with ConsoleProgress(console) as progress:
        stack = EmbeddedStack(settings, progress)
        await stack.acquire()
        try:
            withdraw(settings.data_dir)  # what a killed predecessor left
            make_empty(metrics_folder(settings))
            code = snapshot(package_root()) if reload else {}
            api = await begin_api(settings)
            children.append(api)
            await stack.start()
            await prepare(settings, stack, progress)
            await stack.embeddings_ready()
            announce(settings.data_dir, stack.environment)
            await start_api(api, settings, stack, progress)
            if has_worker(settings):
                children.append(await start_worker(settings, stack))
            progress.close()
            console.print(_welcome(settings, password_file, first_start=not known))
            await _watch(children, code, reload=reload)
        finally:
            withdraw(settings.data_dir)
            await asyncio.gather(*(child.stop() for child in children))
            await stack.stop()


async def _watch(children: Sequence[Child], code: Snapshot, *, reload: bool) -> None:
    """Keep all of them running until one can't be, or until cancelled."""
    api, *others = children
    watchers = [asyncio.create_task(keep_running(api, give_up=not reload))]
    # Without a worker files wait, and chat goes on.
    watchers += [asyncio.create_task(keep_running(child, give_up=False)) for child in others]
    if reload:
        watchers.append(asyncio.create_task(restart_on_change(children, code)))
    try:
        await asyncio.gather(*watchers)
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


def _welcome(settings: Settings, password_file: Path, *, first_start: bool) -> Panel:
    lines = [f"Address   {service_url(settings)}{settings.root_path}"]
    if password_file.exists() and first_start:
        lines += [f"Name      {ADMIN_NAME}", f"Password  {password_file.read_text().strip()}"]
        lines.append(f"          (kept in {password_file})")
    elif password_file.exists():
        lines += [f"Name      {ADMIN_NAME}", f"Password  in {password_file}, unless you have changed it"]
    lines.append(f"Logs      {settings.data_dir.resolve() / 'logs'}")
    return Panel(Text("\n".join(lines)), title="llama-service is ready", title_align="left", expand=False)


def _stop_on_signals(console: Console, children: list[Child]) -> None:
    """The first signal cancels the running task, which ends everything in order; a later one kills.

    `timeout`, `make` and some terminals send one press twice: what comes at once after the first doesn't count.
    """
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    asked: float | None = None

    def on_signal() -> None:
        nonlocal asked
        if asked is not None and loop.time() < asked + _SAME_PRESS:
            return
        if asked is not None or task is None:
            for child in children:
                child.kill()
            # The kernel ends the other children with us.
            os._exit(_EXIT_KILLED)
        asked = loop.time()
        console.print("Stopping; once more to kill.")
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
