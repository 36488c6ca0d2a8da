"""Read a file in a child process that is limited in time, memory, output and reach.

Whatever happens in there, the caller gets an `Extracted` or an `ExtractionFailed` with a reason.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from ingestion.documents import Extracted, ExtractionFailed, Limits, load

log = structlog.get_logger(__name__)

_ROOT = Path(__file__).resolve().parent.parent
# Whoever waits for an answer goes first: the child gets what processor time others leave.
_BOOT = "import os, sys; os.nice(10); sys.path.insert(0, sys.argv[1]); from ingestion.loaders.child import main; main()"
_READ_BYTES = 1 << 18
_MARKS_BYTES = 64 * 1024 * 1024
_KEPT_VARIABLES = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "TESSDATA_PREFIX")


async def extract(path: Path, name: str, mime: str, limits: Limits, *, scratch: Path) -> Extracted:
    """Return the text of a file. Raises ExtractionFailed, and nothing else, for whatever is wrong with the
    file.

    The child's own files lie below `scratch`. Cancelling kills the child and everything it started.
    """
    answer, status = await _ask_child(_job(path, name, mime, limits), limits, scratch)
    return await asyncio.to_thread(_document, answer, status, name)


async def query_tables(files: Sequence[Mapping[str, str]], sql: str | None, limits: Limits, *, scratch: Path) -> str:
    """Return the rows that a query gives over sheets and CSV files (`path`, `name`, `mime`), or a list of their tables.

    Raises ExtractionFailed, and nothing else: `query` for what is wrong with the query.
    """
    job = {"files": list(files), "sql": sql, **_terms(limits)}
    answer, status = await _ask_child(json.dumps(job).encode(), limits, scratch)
    if answer[:1] == b"+" and status == 0:
        return answer[1:].decode()
    raise _failure(answer, status, "")


async def _ask_child(job: bytes, limits: Limits, scratch: Path) -> tuple[bytes, int]:
    """Return what a child process answers, and its exit status."""
    with tempfile.TemporaryDirectory(prefix="extract-", dir=scratch, ignore_cleanup_errors=True) as folder:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-c", _BOOT, str(_ROOT)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
            env=_environment(folder),
        )
        try:
            async with asyncio.timeout(limits.seconds):
                answer = await _converse(child, job, limits)
                return answer, await child.wait()
        except TimeoutError:
            raise ExtractionFailed("timeout", "Reading this file takes longer than the server allows.") from None
        finally:
            await _end(child)


def _job(path: Path, name: str, mime: str, limits: Limits) -> bytes:
    fields = {"path": os.path.abspath(path), "name": name, "mime": mime, **_terms(limits)}
    return json.dumps(fields).encode()


def _terms(limits: Limits) -> dict[str, object]:
    """Return what a child is bound by: whose it is, its limits, and folders of libraries that it may read in."""
    named = (os.environ.get(name, "") for name in ("LD_LIBRARY_PATH", "TESSDATA_PREFIX"))
    folders = [folder for value in named for folder in value.split(os.pathsep) if folder]
    return {"parent": os.getpid(), "limits": dataclasses.asdict(limits), "folders": folders}


# Libraries report their use, at their import, unless they are told not to: before there is anything to import.
QUIET = {"DO_NOT_TRACK": "true", "SCARF_NO_ANALYTICS": "true", "UNSTRUCTURED_DISABLE_NOTICE": "true"}


def _environment(folder: str) -> dict[str, str]:
    """Pass on no secret: only what finding programs needs, one thread for each library, and no reports."""
    kept = {key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_THREAD_LIMIT"), "1")
    return {**kept, **threads, **QUIET, "LANG": "C.UTF-8", "HOME": folder, "TMPDIR": folder}


async def _converse(child: asyncio.subprocess.Process, job: bytes, limits: Limits) -> bytes:
    assert child.stdin is not None  # noqa: S101  (both pipes were asked for)
    assert child.stdout is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died: its status tells why
        child.stdin.write(job)
        await child.stdin.drain()
        child.stdin.close()
    most = 4 * limits.output_chars + _MARKS_BYTES
    parts, size = [], 0
    while part := await child.stdout.read(_READ_BYTES):
        size += len(part)
        if size > most:
            raise ExtractionFailed("too_large", "The text of this file is longer than the server reads.")
        parts.append(part)
    return b"".join(parts)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Kill the child's whole process group, and reap the child."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is gone already, or not there yet
        os.killpg(child.pid, signal.SIGKILL)
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await asyncio.shield(child.wait())


def _document(answer: bytes, status: int, name: str) -> Extracted:
    if answer[:1] == b"+" and status == 0:
        try:
            return load(answer[1:])
        except ValueError:
            raise ExtractionFailed("corrupt", "This file is damaged and can't be read.") from None
    raise _failure(answer, status, name)


def _failure(answer: bytes, status: int, name: str) -> ExtractionFailed:
    if answer[:1] == b"-":
        reason = json.loads(answer[1:])
        if reason["cause"]:
            log.warning("parser_failed", cause=reason["cause"], suffix=Path(name).suffix.lower()[:12])
        return ExtractionFailed(reason["code"], reason["message"])
    log.warning("parser_died", status=status, suffix=Path(name).suffix.lower()[:12])
    if status in (-signal.SIGXCPU, -signal.SIGALRM):
        return ExtractionFailed("timeout", "Reading this file takes longer than the server allows.")
    # Libraries in Rust and C++ abort where there is no memory left.
    if status in (-signal.SIGKILL, -signal.SIGABRT):
        return ExtractionFailed("memory", "Reading this file takes more memory than the server allows.")
    return ExtractionFailed("corrupt", "This file is damaged and can't be read.")
