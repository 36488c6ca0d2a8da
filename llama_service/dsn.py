"""One connection string for every driver, as managed services give it.

libpq's form is the common one (https://www.postgresql.org/docs/current/libpq-connect.html): several hosts, TLS by
`sslmode` and `sslrootcert`, sockets by `?host=`. psycopg takes it as it is; asyncpg reads most of it by itself.
"""

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

SCHEMES = ("postgresql://", "postgres://", "postgresql+")
# What libpq reads and asyncpg would take for a setting of the server.
_LIBPQ_ONLY = frozenset(
    {
        *("channel_binding", "fallback_application_name", "gssdelegation", "gssencmode", "gsslib", "hostaddr"),
        *("keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "load_balance_hosts"),
        *("requirepeer", "require_auth", "scram_client_key", "scram_server_key", "sslcompression", "sslcertmode"),
        *("sslsni", "tcp_user_timeout"),
    }
)
_RENAMED = {"dbname": "database"}
# A host that vanishes (power cut, partition) says nothing, and the system waits for it a quarter of an hour, or without
# end; the lease of a run is 10 seconds. tcp_user_timeout in milliseconds, the others in seconds.
_ENDS_SILENCE = {"tcp_user_timeout": 10_000, "keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 2}
# Not every system has all of them.
_SOCKET_OPTIONS = {
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
}


@dataclass(frozen=True, slots=True)
class PostgresDsn:
    """A database's address. `is_pooled` tells that a pooler in transaction mode stands before it (PgBouncer).

    Through such a pooler nothing of a session lasts: no LISTEN, no settings at the start, no named statements.
    """

    libpq: str
    is_pooled: bool = False

    @classmethod
    def of(cls, url: str, *, is_pooled: bool = False) -> "PostgresDsn":
        """Return the address that an operator gave, whatever spelling of the scheme it has.

        Where it does not say how long a silent host is waited for, that is 10 to 15 seconds.
        """
        libpq = "postgresql://" + url.partition("://")[2]
        given = {name for name, _ in _options(libpq)}
        added = urlencode({name: value for name, value in _ENDS_SILENCE.items() if name not in given})
        if added:
            libpq += ("&" if given else "" if libpq.endswith("?") else "?") + added
        return cls(libpq, is_pooled)

    def asyncpg(self, **server_settings: str) -> dict[str, Any]:
        """Return the arguments of `asyncpg.connect` and `create_pool`, with settings for the session where it lasts."""
        address = self.libpq.partition("?")[0]
        options = [(name, value) for name, value in _options(self.libpq) if name not in _LIBPQ_ONLY]
        arguments: dict[str, Any] = {"timeout": 5}
        kept = []
        for name, value in options:
            if name == "connect_timeout":
                arguments["timeout"] = max(2, int(value or 0)) if value.isdigit() and value != "0" else 60
            else:
                kept.append((_RENAMED.get(name, name), value))
        arguments["dsn"] = address + ("?" + urlencode(kept, quote_via=quote) if kept else "")
        if self.is_pooled:
            arguments["statement_cache_size"] = 0
        else:
            arguments["server_settings"] = {"application_name": "llama-service"} | server_settings
        if any(name == "application_name" for name, _ in kept):
            arguments.get("server_settings", {}).pop("application_name", None)
        return arguments

    def socket_options(self) -> list[tuple[int, int, int]]:
        """Return `setsockopt`'s arguments for a connection over TCP: libpq sets them by itself, asyncpg does not."""
        given = {name: int(value) for name, value in _options(self.libpq) if value.isdigit()}
        options = [
            (socket.IPPROTO_TCP, getattr(socket, option), given[name])
            for name, option in _SOCKET_OPTIONS.items()
            if hasattr(socket, option) and given.get(name)
        ]
        return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, given.get("keepalives", 1)), *options]

    def psycopg(self) -> dict[str, Any]:
        """Return the arguments of psycopg's connections besides the string itself."""
        return {"prepare_threshold": None if self.is_pooled else 0}


def _options(libpq: str) -> list[tuple[str, str]]:
    return parse_qsl(libpq.partition("?")[2], keep_blank_values=True)
