"""Every series that a process counts, for Prometheus. What is known to the database only is in `persistence.gauges`.

Several processes of one machine are told as one where `PROMETHEUS_MULTIPROC_DIR` names a folder that they share: `serve
--workers` and `up` set it. It is read when `prometheus_client` is imported, so it has to be set before this module is.
"""

import contextlib
import os
import re
from collections.abc import Iterable
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from llama_service import __version__
from llama_service.folders import METRICS_FOLDER


def _forget_gauges(pid: int, folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # another process does the same
        mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


if _folder := os.environ.get(METRICS_FOLDER):
    _forget_gauges(os.getpid(), _folder)  # what an earlier process of this number left

_ANSWER_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_RATE_BUCKETS: Final = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 250, 500)
_READ_BUCKETS: Final = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

# --- requests -------------------------------------------------------------------------------------------------------
REQUESTS = Counter("llama_requests_total", "Requests answered", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "llama_request_seconds",
    "Seconds until the answer began",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REQUESTS_OPEN = Gauge("llama_requests_open", "Requests being answered, streams included", multiprocess_mode="livesum")

# --- runs -----------------------------------------------------------------------------------------------------------
RUNS = Counter("llama_runs_total", "Runs that ended, or were released to another process", ["source", "status"])
RUN_SECONDS = Histogram("llama_run_seconds", "Seconds from question to end", ["source"], buckets=_ANSWER_BUCKETS)
FIRST_TOKEN_SECONDS = Histogram(
    "llama_run_first_token_seconds", "Seconds from question to first text", ["source"], buckets=_ANSWER_BUCKETS
)
NODE_SECONDS = Histogram(
    "llama_graph_node_seconds", "Seconds of each node of the graph", ["node"], buckets=(0.001, *_ANSWER_BUCKETS)
)
RUNS_ACTIVE = Gauge("llama_runs_active", "Runs that are executed", multiprocess_mode="livesum")
TAKEOVERS = Counter("llama_run_takeovers_total", "Runs taken over from a worker that died", ["outcome"])
EVENT_WRITE_SECONDS = Histogram(
    "llama_event_write_seconds",
    "Seconds from a batch's first event until Postgres has it and readers see it",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)

# --- models ---------------------------------------------------------------------------------------------------------
PROVIDER_ATTEMPTS = Counter(
    "llama_provider_attempts_total",
    "Calls of providers, repeats included: ok, or an error's code",
    ["source", "outcome"],
)
PROVIDER_FIRST_TOKEN_SECONDS = Histogram(
    "llama_provider_first_token_seconds", "Seconds from call to first text", ["source"], buckets=_ANSWER_BUCKETS
)
PROVIDER_TOKENS = Counter("llama_provider_tokens_total", "Tokens in (prompt) and out (answer)", ["source", "kind"])
PROVIDER_TOKEN_RATE = Histogram(
    "llama_provider_tokens_per_second", "Tokens a second behind the first one", ["source"], buckets=_RATE_BUCKETS
)
PROVIDER_IN_FLIGHT = Gauge(
    "llama_provider_in_flight", "Calls that a provider works on", ["source"], multiprocess_mode="livesum"
)
PROVIDER_WAITING = Gauge(
    "llama_provider_waiting", "Calls that wait for a place", ["source"], multiprocess_mode="livesum"
)
PROVIDER_CIRCUIT_OPEN = Gauge(
    "llama_provider_circuit_open", "1 where a process leaves a provider alone", ["source"], multiprocess_mode="livemax"
)
BUDGET_REFUSALS = Counter("llama_budget_refusals_total", "Calls refused because a budget is used up", ["budget"])

# --- files ----------------------------------------------------------------------------------------------------------
INGESTION_SECONDS = Histogram(
    "llama_ingestion_seconds", "Seconds of each stage of a file", ["stage"], buckets=_READ_BUCKETS
)
INGESTION_JOBS = Counter("llama_ingestion_jobs_total", "Jobs on files that ended", ["task", "outcome"])
FILE_FAILURES = Counter("llama_file_failures_total", "Files that could not be read, by reason", ["code"])

# --- this process ---------------------------------------------------------------------------------------------------
DB_CONNECTIONS = Gauge(
    "llama_db_connections",
    "Connections to Postgres: busy, idle, and how many may be",
    ["pool", "state"],
    multiprocess_mode="livesum",
)
INDEX_VECTORS = Gauge("llama_index_vectors", "Vectors that the vector index holds", multiprocess_mode="livemostrecent")
DATABASE_REACHABLE = Gauge(
    "llama_database_reachable", "1 where an API reaches its database", multiprocess_mode="livemostrecent"
)
DB_WAITING = Gauge("llama_db_waiting", "Who waits for a connection", ["pool"], multiprocess_mode="livesum")
BUILD_INFO = Gauge("llama_build_info", "The version, as a label; always 1", ["version"], multiprocess_mode="livemax")
BUILD_INFO.labels(__version__).set(1)


for _outcome in ("resumed", "stopped", "interrupted", "given_up"):
    TAKEOVERS.labels(_outcome)  # one that is told first when it is 1 has not risen, for Prometheus
for _task in ("read", "embed"):
    for _outcome in ("ok", "again", "given_up", "broken", "cancelled"):
        INGESTION_JOBS.labels(_task, _outcome)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class _Shared:
    """Collects what all processes have counted that share a folder; gauges of those that have ended are left out."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: Any = MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        """Return the series."""
        pids = {int(found[1]) for name in os.listdir(self._folder) if (found := re.search(r"_(\d+)\.db$", name))}
        for pid in pids:
            if not _is_alive(pid):
                _forget_gauges(pid, self._folder)
        series: Iterable[Metric] = self._files.collect()
        return series


def registry() -> CollectorRegistry:
    """Return where this process's series are, or those of all processes that share a folder with it."""
    folder = os.environ.get(METRICS_FOLDER)
    if folder is None:
        return REGISTRY
    shared = CollectorRegistry()
    shared.register(_Shared(folder))
    return shared
