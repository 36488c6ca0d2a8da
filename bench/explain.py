"""Which rows a search reads: the statements that it sends, each explained by Postgres."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import event

from persistence.session import Database


@asynccontextmanager
async def rows_read(database: Database) -> AsyncIterator[Counter[str]]:
    """Count the rows that statements sent within the block read, by table; a whole-table scan as `scan of …`.

    Filled at the end of the block, where each statement is run once more under EXPLAIN ANALYZE.
    """
    sent: list[tuple[str, Any]] = []
    found: Counter[str] = Counter()

    def remember(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        sent.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", remember)
    try:
        yield found
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", remember)
    async with database.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        for statement, parameters in sent:
            (plan,) = await driver.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *parameters)
            _count(plan["Plan"], found)


def _count(node: dict[str, Any], found: Counter[str]) -> None:
    table = node.get("Relation Name")
    if table:
        rows = (
            node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        )
        found[table] += round(rows * node["Actual Loops"])
        if node["Node Type"] == "Seq Scan" and rows:  # of an empty table it is the shortest way
            found[f"scan of {table}"] += 1
    for child in node.get("Plans", []):
        _count(child, found)
