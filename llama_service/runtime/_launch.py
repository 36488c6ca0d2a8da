"""Become another program that can't outlive the process which started it.

Run as a file: `python -I -S _launch.py PARENT SIGNAL [--map-root UID | --user UID GID] -- ARGV...`. The kernel
sends SIGNAL when the parent dies (prctl(2), PR_SET_PDEATHSIG); a parent that died before that call is noticed by its
pid.
`--map-root` enters a user namespace in which root is UID, `--user` drops to UID and GID: both for programs that refuse
to run as root. A change of credentials clears the death signal, hence the order below.
"""

import ctypes
import os
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
CLONE_NEWUSER = 0x10000000  # linux/sched.h
EXIT_REFUSED = 120
EXIT_ORPHAN = 121


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _map_root(libc: ctypes.CDLL, uid: int) -> None:
    _check(libc.unshare(CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} 0 1")
    Path("/proc/self/gid_map").write_text(f"{uid} 0 1")


def _drop(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main(arguments: list[str]) -> None:
    """Replace this process by ARGV; exit with 120 where the system refuses the change of user."""
    split = arguments.index("--")
    parent, signal, *options = arguments[:split]
    argv = arguments[split + 1 :]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            if options[:1] == ["--map-root"]:
                _map_root(libc, int(options[1]))
            elif options[:1] == ["--user"]:
                _drop(int(options[1]), int(options[2]))
        except OSError as refused:
            sys.stderr.write(f"cannot change the user: {refused}\n")
            sys.exit(EXIT_REFUSED)
        _check(libc.prctl(PR_SET_PDEATHSIG, int(signal), 0, 0, 0))
        if os.getppid() != int(parent):
            sys.exit(EXIT_ORPHAN)
    os.execvpe(argv[0], argv, os.environ)  # noqa: S606  (the caller's own argv, no shell)


if __name__ == "__main__":
    main(sys.argv[1:])
