"""One connection string for every driver, as managed services give it.

libpq's form is the common one (https://www.postgresql.org/docs/current/libpq-connect.html): several hosts, TLS by
`sslmode` and `sslrootcert`, sockets by `?host=`. psycopg takes it as it is; asyncpg reads most of it by itself.
"""

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


@dataclass(frozen=True, slots=True)
class PostgresDsn:
    """A database's address. `is_pooled` tells that a pooler in transaction mode stands before it (PgBouncer).

    Through such a pooler nothing of a session lasts: no LISTEN, no settings at the start, no named statements.
    """

    libpq: str
    is_pooled: bool = False

    @classmethod
    def of(cls, url: str, *, is_pooled: bool = False) -> "PostgresDsn":
        """Return the address that an operator gave, whatever spelling of the scheme it has."""
        return cls("postgresql://" + url.partition("://")[2], is_pooled)

    def asyncpg(self, **server_settings: str) -> dict[str, Any]:
        """Return the arguments of `asyncpg.connect` and `create_pool`, with settings for the session where it lasts."""
        address, _, query = self.libpq.partition("?")
        options = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in _LIBPQ_ONLY]
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

    def psycopg(self) -> dict[str, Any]:
        """Return the arguments of psycopg's connections besides the string itself."""
        return {"prepare_threshold": None if self.is_pooled else 0}
