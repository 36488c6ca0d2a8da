"""Landlock, of Linux since 5.13: a process gives up every file but those that it names, and all of TCP.

A parser that a file has taken over runs as the service's user; without this it could read whatever that user may: the
keys in the data folder, other people's files, the environment of the service (`/proc`).
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, of the same numbers on all machines
_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_FIRST_RIGHTS: Final = (1 << 13) - 1
_LATER_RIGHTS: Final = ((2, 1 << 13), (3, _TRUNCATE))  # since which version: moving between folders, cutting off
_TCP_SINCE, _ALL_TCP = 4, 0b11
_SCOPES_SINCE, _ALL_SCOPES = 6, 0b11  # abstract sockets of others, signals to others
_SYSTEM: Final = (
    *("/usr", "/lib", "/lib64", "/bin", "/nix", "/var/cache/fontconfig"),
    # Of /etc what programs need, not all: services' files of secrets lie there.
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/fonts", "/etc/localtime", "/etc/timezone"),
    *("/etc/mime.types", "/etc/magic", "/etc/passwd", "/etc/nsswitch.conf", "/etc/ssl/openssl.cnf"),
    *("/sys/devices/system/cpu", "/sys/fs/cgroup", "/dev/urandom", "/dev/zero"),
    *("/proc/self", "/proc/meminfo", "/proc/cpuinfo", "/proc/filesystems"),
)


def has_landlock() -> bool:
    """Whether this machine's kernel can do this."""
    return _version(ctypes.CDLL(None, use_errno=True)) > 0


def _version(libc: ctypes.CDLL) -> int:
    return int(libc.syscall(_CREATE, None, 0, _VERSION)) if sys.platform == "linux" else 0


def confine_files(readable: Iterable[Path], own: Path, code: Path) -> bool:
    """Leave this process the system's programs, Python's files, `readable` ones, those of `code`, all rights in `own`.

    Of `code` the Python packages are readable: a checkout may hold the data folder and `.env`. Returns False where the
    kernel has no Landlock; a child process inherits what was given up.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = _version(libc)
    if version < 1:
        return False
    rights = _FIRST_RIGHTS | sum(right for since, right in _LATER_RIGHTS if version >= since)
    given = struct.pack(
        "QQQ",
        rights,
        _ALL_TCP if version >= _TCP_SINCE else 0,
        _ALL_SCOPES if version >= _SCOPES_SINCE else 0,
    )
    size = 24 if version >= _SCOPES_SINCE else 16 if version >= _TCP_SINCE else 8
    rules = libc.syscall(_CREATE, given, size, 0)
    if rules < 0:
        return False
    read = _EXECUTE | _READ_FILE | _READ_DIR
    python = {Path(entry) for entry in (*sys.path, sys.prefix, sys.base_prefix, sys.exec_prefix)} - {code, Path()}
    packages = [path.parent for path in code.glob("*/__init__.py")]
    for path in (*map(Path, _SYSTEM), *python, *packages, *readable):
        _allow(libc, rules, path, read)
    _allow(libc, rules, code, _READ_DIR)  # for the search of modules
    _allow(libc, rules, Path(os.devnull), _READ_FILE | _WRITE_FILE)
    _allow(libc, rules, own, rights)
    done = int(libc.syscall(_RESTRICT, rules, 0))
    os.close(rules)
    return done == 0


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this machine
    if not path.is_dir():
        rights &= _OF_FILES
    libc.syscall(_ADD, rules, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    os.close(place)
