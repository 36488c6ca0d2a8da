"""Splitting and indexing text in processes of their own: pure computation, which would hold up the event loop."""

import asyncio
import ctypes
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from ingestion.documents import Extracted, ExtractionFailed, Passage
from ingestion.split import searched_text, split
from persistence.lexical import Postings, postings

# Seconds, and more for each million characters: prose takes .5 of them, a log of ids 1.5, on a core that is shared.
_PATIENCE = 120.0
_PATIENCE_PER_MILLION = 6.0


@dataclass(frozen=True, slots=True)
class Indexed:
    """A file's passages, what is searched of each, the white space behind it, its postings, and lengths in terms."""

    passages: list[Passage]
    searched: list[str]
    gaps: list[str]
    postings: Postings
    lengths: list[int]


def index_text(document: Extracted, chunk_size: int, chunk_overlap: int) -> Indexed:
    """Split a document and index its passages."""
    passages = split(document, chunk_size, chunk_overlap)
    starts = [passage.start for passage in passages[1:]] + [passages[-1].end if passages else 0]
    gaps = [document.text[passage.end : start] for passage, start in zip(passages, starts, strict=True)]
    searched = [searched_text(passage) for passage in passages]
    return Indexed(passages, searched, gaps, *postings(searched))


def _begin(parent: int) -> None:
    os.nice(10)  # whoever waits for an answer goes first
    # The terminal's Ctrl-C is the parent's affair, and the parent's death is ours.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        pdeathsig = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
        ctypes.CDLL(None).prctl(pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above, and nobody would ever end us
        os._exit(1)


class Processes:
    """A small pool of processes, made when first needed and again after one has died."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def _open(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._count,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(os.getpid(),),
                max_tasks_per_child=200,
            )
        return self._pool

    async def index(self, document: Extracted, chunk_size: int, chunk_overlap: int) -> Indexed:
        """Return the passages and postings of a document. Raises ExtractionFailed where a process died of it."""
        for last in (False, True):
            pool = self._open()
            work = asyncio.get_running_loop().run_in_executor(pool, index_text, document, chunk_size, chunk_overlap)
            try:
                return await asyncio.wait_for(work, _PATIENCE + _PATIENCE_PER_MILLION * len(document.text) / 1e6)
            except BrokenProcessPool:
                # A process that dies takes its neighbours' work with it: who dies again is to blame.
                if self._pool is pool:
                    self._pool = None
                if last:
                    break
            except TimeoutError:
                self._kill(pool)
                raise ExtractionFailed("timeout", "Indexing this file takes longer than the server allows.") from None
        raise ExtractionFailed("memory", "Indexing this file takes more memory than the server has.")

    def _kill(self, pool: ProcessPoolExecutor) -> None:
        if self._pool is pool:
            self._pool = None
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)

    async def close(self) -> None:
        """End the processes; a file that was in one is taken up again by whoever comes next."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            self._kill(pool)
