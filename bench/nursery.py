"""Queue workers that are born in a moment: `python -m bench.nursery` imports once and forks for each line on stdin.

A worker takes seconds to import its libraries; a test that kills a thousand of them can't wait for that. Each is a
process of its own with the code of `llama-service worker`. Answers each line with the new process's id; dies, with
all of them, when stdin ends.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    # Not at the top: the workers' own children run this module's top again.
    from ingestion.worker import run
    from llama_service.logging import configure_logging
    from llama_service.settings import load_settings

    settings = load_settings()
    libc = ctypes.CDLL(None)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for _ in sys.stdin:
        worker = os.fork()
        if not worker:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(2, 1)
            configure_logging(settings)
            run(settings)
            os._exit(0)
        os.write(1, f"{worker}\n".encode())


if __name__ == "__main__":
    main()
