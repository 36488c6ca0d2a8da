"""Whom a program that refuses to run as root is run as."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llama_service.runtime.process import ChildFailed, launcher_argv


@dataclass(frozen=True)
class Identity:
    """Options for `_launch.py`, and the user and group that must own what the program writes (None: ours)."""

    options: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def give(self, path: Path) -> None:
        """Make `path` the program's own."""
        if self.owner:
            os.chown(path, *self.owner)


async def unprivileged_identity() -> Identity:
    """Return how to run a program as somebody who isn't root.

    Root is mapped to `nobody` in a user namespace, so that files stay root's own; where the system refuses
    namespaces (most containers), the program really becomes `nobody`.
    """
    if os.geteuid() != 0:
        return Identity()
    nobody = pwd.getpwnam("nobody")
    mapped = ("--map-root", str(nobody.pw_uid))
    probe = await asyncio.create_subprocess_exec(
        *launcher_argv(signal.SIGKILL, mapped, ["true"]),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    if await probe.wait() == 0:
        return Identity(mapped)
    return Identity(("--user", str(nobody.pw_uid), str(nobody.pw_gid)), (nobody.pw_uid, nobody.pw_gid))


def check_reachable(path: Path) -> None:
    """Raise ChildFailed where another user can't enter the folders that lead to `path`."""
    for folder in path.resolve().parents:
        if not folder.stat().st_mode & stat.S_IXOTH:
            raise ChildFailed(
                f"Postgres can't run as root here, and other users may not enter {folder}: "
                "start the service as a normal user, or choose a DATA_DIR such as /var/lib/llama-service"
            )


def reachable_copy(folders: Sequence[Path], target: Path) -> Path:
    """Return the parent of `folders`, or where other users can't enter it `target`, with copies of them."""
    parent = folders[0].resolve().parent
    if all(folder.stat().st_mode & stat.S_IXOTH for folder in (parent, *parent.parents)):
        return parent
    if not target.exists():
        unfinished = target.with_name(f"{target.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        for folder in folders:
            shutil.copytree(folder, unfinished / folder.name, symlinks=True)
        unfinished.rename(target)
    return target
