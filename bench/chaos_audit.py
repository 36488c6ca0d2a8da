"""What must hold after the chaos: nothing lost, nothing stuck, nothing twice."""

from collections.abc import Sequence
from typing import Any

import psycopg

from bench.chaos_clients import Talker, Turn
from bench.stage import Script

_ENDED = {"complete", "stopped"}
_TURN = """
    SELECT q.content, a.content, a.status, r.status, a.error ->> 'code' FROM runs r
    JOIN messages q ON q.id = r.user_message_id JOIN messages a ON a.id = r.message_id WHERE r.id = %s
"""
_NEVER = {
    "runs that are stuck": "SELECT count(*) FROM runs WHERE status = 'running'",
    "answers that are stuck": "SELECT count(*) FROM messages WHERE status = 'streaming'",
    "runs with a gap in their events": """
        SELECT count(*) FROM (SELECT run_id FROM run_events GROUP BY run_id HAVING max(seq) <> count(*)) AS broken
    """,
    "runs that ended without saying so": """
        SELECT count(*) FROM runs WHERE status <> 'running' AND NOT EXISTS (
            SELECT FROM run_events e WHERE e.run_id = runs.id AND e.event IN ('done', 'error'))
    """,
}

Connection = psycopg.Connection[Any]


def whole_answer(script: Script) -> str:
    """Return what the provider's double answers by this script."""
    return "".join(f" t{number % 10}" for number in range(script.tokens or 0))


def audit(dsn: str, talkers: Sequence[Talker], whole: str) -> list[str]:
    """Compare what clients saw with what the database holds; return every violation in words.

    `whole` is the answer to every question.
    """
    found = [violation for talker in talkers for violation in talker.violations]
    with psycopg.connect(dsn, autocommit=True) as connection:
        for talker in talkers:
            for turn in talker.turns:
                found += [f"{talker.name}: {words}" for words in _judge(connection, turn, whole)]
        for what, query in _NEVER.items():
            row = connection.execute(query).fetchone()
            if row and row[0]:
                found.append(f"{row[0]} {what}")
    return found


def _judge(connection: Connection, turn: Turn, whole: str) -> list[str]:
    follower = turn.follower
    row = connection.execute(_TURN, [follower.run_id]).fetchone()
    if row is None:
        return [f"the question of run {follower.run_id} is gone"]
    question, answer, status, run_status, code = row
    found = [f"run {follower.run_id}: {fault}" for fault in follower.faults]
    if question != turn.question:
        found.append(f"run {follower.run_id}: the question reads {question!r}")
    # Three workers have died with it, one after the other: that is told, and is the end.
    if status not in _ENDED and code != "run_given_up":
        found.append(f"run {follower.run_id} ({run_status}) left its answer {status}: {code}")
    if status == "complete" and answer != whole:
        found.append(f"run {follower.run_id}: the complete answer reads {answer!r}")
    if follower.text not in answer:
        found.append(f"run {follower.run_id}: words that its client saw are not in the answer ({status})")
    return found


def unfinished_files(dsn: str) -> int:
    """Return how many files are not indexed yet, or never will be."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM files WHERE status <> 'completed'").fetchone()
        return int(row[0]) if row else 0


def running(dsn: str) -> int:
    """Return how many runs are not at their end."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM runs WHERE status = 'running'").fetchone()
        return int(row[0]) if row else 0
