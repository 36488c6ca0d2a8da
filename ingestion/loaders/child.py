"""The sandbox's child process: lock the door, read one file, answer on a pipe, end."""

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingestion.detect import SUPPORTED
from ingestion.documents import Extracted, ExtractionFailed, FailureCode, Limits, dump
from ingestion.loaders.landlock import confine_files

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_LARGEST_TEMPORARY_FILE = 512 * 1024 * 1024
_MIB = 1024 * 1024
_ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Read the job from stdin, extract, write one answer: `+` and the document, or `-` and the reason as JSON."""
    answer = os.dup(1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # what libraries print must not get into the answer
    job = json.load(sys.stdin)
    limits = Limits(**job["limits"])
    paths = [file["path"] for file in job["files"]] if "files" in job else [job["path"]]
    _confine(limits, job["parent"], [Path(path) for path in (*paths, *job["folders"])])
    reply = _answer(job, limits) if "files" in job else _reply(Path(job["path"]), job["name"], job["mime"], limits)
    with os.fdopen(answer, "wb") as pipe:
        pipe.write(reply)
        pipe.flush()
    os._exit(0)  # no destructors of half-read libraries


def read(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read a file with the loader of its media type, in this process. Raises ExtractionFailed."""
    if path.stat().st_size == 0:
        raise ExtractionFailed("empty", "This file is empty.")
    loader = SUPPORTED.get(mime)
    if loader is None:
        raise ExtractionFailed("unsupported", "Files of this type can't be read here.")
    module, _, function = loader.partition(":")
    document: Extracted = getattr(importlib.import_module(f"ingestion.loaders.{module}"), function)(
        path, name, mime, limits
    )
    if len(document.blocks) > limits.marks:  # each is an object of the worker's, which no limit of memory guards
        raise ExtractionFailed("too_large", "This file has more headings and tables than the server reads.")
    return document


def _reply(path: Path, name: str, mime: str, limits: Limits) -> bytes:
    try:
        return b"+" + dump(read(path, name, mime, limits))
    except ExtractionFailed as failed:
        return _failure(failed.code, failed.message)
    except MemoryError:
        return _failure("memory", "Reading this file takes more memory than the server allows.")
    except ImportError as missing:
        # A library that can't be mapped into what memory is left says so by failing to import.
        if "map" in str(missing) or "allocate" in str(missing):
            return _failure("memory", "Reading this file takes more memory than the server allows.")
        return _failure("unsupported", "This server lacks the reader for files of this type.", cause=_cause(missing))
    except RecursionError:
        return _failure("corrupt", "This file is nested too deeply to be read.")
    except Exception as error:  # a parser's own way to say that a file is damaged: the boundary gives it a name
        return _failure("corrupt", "This file is damaged and can't be read.", cause=_cause(error))


def _answer(job: Mapping[str, Any], limits: Limits) -> bytes:
    """Return the rows of a query over tables."""
    tables = importlib.import_module("ingestion.loaders.tables")
    try:
        return b"+" + str(tables.answer(job["files"], job["sql"], limits)).encode()
    except tables.QueryFailed as failed:
        return _failure("query", str(failed))
    except ExtractionFailed as failed:
        return _failure(failed.code, failed.message)
    except MemoryError:
        return _failure("memory", "This takes more memory than the server allows.")
    except Exception as error:  # as above: a reader's own way to say that a file is damaged
        return _failure("corrupt", "One of these files is damaged and can't be read.", cause=_cause(error))


def _failure(code: FailureCode, message: str, cause: str | None = None) -> bytes:
    reason: Mapping[str, Any] = {"code": code, "message": message, "cause": cause}
    return b"-" + json.dumps(reason).encode()


def _cause(error: Exception) -> str:
    """Name the kind and place of an error, without its words: they may quote the file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} at {where}"


def _confine(limits: Limits, parent: int, readable: Sequence[Path]) -> None:
    """Give up what reading a file does not need: time, memory, files, the network, outliving the parent."""
    # To be killed with all that it starts. Not a session: Linux shares the processor among sessions first, and niceness
    # counts only within one.
    os.setpgrp()
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux":
        # Best effort: some containers allow no namespaces; nothing here opens a connection anyway.
        if libc.unshare(_CLONE_NEWNET) != 0:
            libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # last: a new user namespace clears it
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
        confine_files(readable, own=Path.cwd(), code=_ROOT)  # best effort, too: older kernels have none
    seconds = max(1, int(limits.seconds) + 1)
    _limit(resource.RLIMIT_CPU, seconds, seconds + 1)
    _limit(resource.RLIMIT_AS, limits.memory_mb * _MIB)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    _limit(resource.RLIMIT_FSIZE, _LARGEST_TEMPORARY_FILE)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    ceiling = resource.getrlimit(kind)[1]
    wanted = soft if hard is None else hard
    hard = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
    resource.setrlimit(kind, (min(soft, hard), hard))
