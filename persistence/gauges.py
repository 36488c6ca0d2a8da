"""What only the database knows of the service, for whoever watches: what is open, what waits, how large it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import text

from llama_service.kept import Kept
from persistence.session import Database

_KEPT: Final = 10.0  # seconds: several processes and several watchers ask
_STATE: Final = text("""
    SELECT 'llama_runs_open' AS name, status AS label, count(*)::float AS value FROM runs
      WHERE status IN ('running', 'waiting') GROUP BY status
    UNION ALL SELECT 'llama_runs_orphaned', '', count(*) FROM runs
      WHERE status = 'running' AND lease_until < clock_timestamp()
    UNION ALL SELECT 'llama_files', status, count(*) FROM files GROUP BY status
    UNION ALL SELECT 'llama_queue_jobs', queue_name || ' ' || status, count(*) FROM procrastinate_jobs
      WHERE status IN ('todo', 'doing') GROUP BY queue_name, status
    UNION ALL SELECT 'llama_queue_oldest_seconds', '', coalesce(
      max(extract(epoch FROM clock_timestamp() - greatest(files.updated_at, files.created_at))), 0)
      FROM files WHERE status IN ('pending', 'processing')
    UNION ALL SELECT 'llama_users', CASE WHEN is_active THEN 'active' ELSE 'inactive' END, count(*)
      FROM users GROUP BY is_active
    UNION ALL SELECT 'llama_database_bytes', '', pg_database_size(current_database())
    UNION ALL SELECT 'llama_checkpoint_bytes', '', coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c
      WHERE c.relkind = 'r' AND c.relname IN ('checkpoints', 'checkpoint_blobs', 'checkpoint_writes')
    UNION ALL SELECT 'llama_vectors', '', coalesce(sum(chunks_indexed), 0) FROM files
    UNION ALL SELECT 'llama_db_server_connections', replace(coalesce(state, 'other'), ' ', '_'), count(*)
      FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' GROUP BY state
""")
_ABOUT: Final[Mapping[str, tuple[str, list[str]]]] = {
    "llama_runs_open": ("Runs that are under way or wait for a person", ["status"]),
    "llama_runs_orphaned": ("Runs whose worker has died and which nobody has taken over yet", []),
    "llama_files": ("Files by what became of them", ["status"]),
    "llama_queue_jobs": ("Jobs that wait or run", ["queue", "status"]),
    "llama_queue_oldest_seconds": ("Seconds since anything happened to the file that waits longest", []),
    "llama_users": ("Accounts", ["state"]),
    "llama_database_bytes": ("Bytes of the database on disk", []),
    "llama_checkpoint_bytes": ("Bytes of the checkpoints on disk", []),
    "llama_vectors": ("Vectors that the database keeps", []),
    "llama_db_server_connections": ("Connections to the database, of all processes", ["state"]),
}


@dataclass(frozen=True, eq=False)
class _Families:
    """A collector of one answer of the database: names, their labels' values with spaces between, values."""

    rows: list[tuple[str, str, float]]

    def collect(self) -> Iterator[Any]:
        """Yield each series with what was found."""
        for name, (about, labels) in _ABOUT.items():
            family = GaugeMetricFamily(name, f"{about} (the same from every process)", labels=labels)
            for found, told, value in self.rows:
                if found == name:
                    family.add_metric(told.split()[: len(labels)], value)
            yield family


class DatabaseGauges:
    """The database's series in Prometheus's text format, some seconds old."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept = Kept(self._look, _KEPT)

    async def rendered(self) -> bytes:
        """Return the series. Raises what a database that is away raises."""
        return await self._kept.get()

    async def _look(self) -> bytes:
        async with self._database.reading() as session:
            rows = (await session.execute(_STATE)).all()
        registry = CollectorRegistry()
        registry.register(_Families([(row.name, row.label, float(row.value)) for row in rows]))
        return generate_latest(registry)
