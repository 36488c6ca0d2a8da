"""Measure: `python -m bench [NAME…] [--quick]`, all but the longest without a name. Writes `.artifacts/bench.json`.

Everything that is needed is started here, on loopback: Postgres, Chroma, provider doubles, a bare proxy, the service.
"""

import argparse
import asyncio
import importlib
import json
import logging
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from bench.report import Row, table
from bench.stage import stage
from llama_service.settings import Settings

NAMES = (
    "first_token",
    "cpu_per_token",
    "tools",
    "flood",
    "many_streams",
    "cluster",
    "long_talk",
    "pages",
    "memory",
    "bad_days",
    "search_scale",
    "ingest",
    "ingest_memory",
    "ingest_beside",
    "sizes",
    "ui",
)
NAMED_ONLY = ("lexical_scale", "vector_stores")  # many minutes each
TARGET = Path(".artifacts/bench.json")


def _machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


async def _measure(names: list[str], quick: bool) -> list[Row]:
    rows: list[Row] = []
    for name in names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            async with stage(Path(folder)) as made:
                rows += await importlib.import_module(f"bench.{name}").run(made, quick)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join((*NAMES, *NAMED_ONLY)))
    parser.add_argument("--quick", action="store_true", help="a short form, good for a look only")
    parser.add_argument("--json", type=Path, default=TARGET)
    given = parser.parse_args()
    if unknown := set(given.names) - {*NAMES, *NAMED_ONLY}:
        known = ", ".join((*NAMES, *NAMED_ONLY))
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {known}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for name in [name for name in os.environ if name.lower() in Settings.model_fields]:
        del os.environ[name]  # an operator's own settings have no say in a measurement
    machine = _machine()
    rows = asyncio.run(_measure(given.names or list(NAMES), given.quick))
    print(table(rows))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    measured = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "quick": given.quick}
    given.json.write_text(json.dumps({**measured, "rows": [row.as_dict() for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
