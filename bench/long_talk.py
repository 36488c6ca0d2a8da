"""A turn costs the same late in a long talk: 500 messages against 10, in time, CPU, statements and bytes written."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bench.load import Account, clients, cpu_seconds, median, settle
from bench.report import Row
from bench.stage import Script, Stage

_TOKENS = 60
_STATEMENT = re.compile(r" (\S.*?)\|LOG:  (?:statement|execute [^:]+): (?!BEGIN|COMMIT|ROLLBACK|;|$)")


@dataclass(slots=True)
class _Cost:
    """What turns cost: milliseconds, milliseconds of CPU, bytes of write-ahead log, statements by application."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    cpu: float = 0.0
    written: int = 0
    statements: Counter[str] = field(default_factory=Counter)


def log_statements(dsn: str) -> None:
    """Make Postgres write every statement, with the application's name, into its log."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        connection.execute("ALTER SYSTEM SET log_line_prefix = '%p %a|'")
        connection.execute("SELECT pg_reload_conf()")


def size(log: Path) -> int:
    """Return the bytes of a log."""
    return log.stat().st_size


def statements(log: Path, start: int) -> Counter[str]:
    """Count the statements that the log holds from byte `start`, by application; transaction marks apart."""
    with log.open("rb") as stream:
        stream.seek(start)
        return Counter(match[1] for match in _STATEMENT.finditer(stream.read().decode(errors="replace")))


async def _turn(account: Account, conversation: str, cost: _Cost, api_pid: int, dsn: str, log: Path) -> None:
    with psycopg.connect(dsn, autocommit=True, application_name="bench") as connection:
        lsn = "SELECT pg_current_wal_insert_lsn()"
        (before,) = connection.execute(lsn).fetchone() or ("",)
        cpu, start = cpu_seconds(api_pid), size(log)
        heard = await account.ask("And how does it go on from here?", conversation_id=conversation)
        await settle(0.25)
        cost.first.append(heard.first * 1000)
        cost.whole.append(heard.whole * 1000)
        cost.cpu += (cpu_seconds(api_pid) - cpu) * 1000
        cost.statements += statements(log, start)
        row = connection.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", [before]).fetchone()
        cost.written += int(row[0]) if row else 0


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Talk until one conversation has 500 messages, then ask there and in a short one in turn."""
    turns, rounds = 250, 15 if quick else 50
    await stage.say(Script(_TOKENS, 0))
    log = stage.folder / "logs" / "postgres.log"
    dsn = stage.postgres.dsn
    costs = {"short": _Cost(), "long": _Cost()}
    async with clients() as session:
        api = await stage.serve()
        account = await Account(session, api.url).join()
        long = await account.conversation(turns)
        log_statements(dsn)
        for number in range(rounds + 3):
            short = await account.conversation(turns=5)
            await settle(0.5)
            for name, conversation in (("short", short), ("long", long)):
                cost = costs[name] if number >= 3 else _Cost()
                await _turn(account, conversation, cost, api.pid, dsn, log)
        await api.child.stop()
    return _rows(costs["short"], costs["long"], rounds)


def _rows(short: _Cost, long: _Cost, rounds: int) -> list[Row]:
    def row(what: str, few: float, many: float, unit: str) -> Row:
        note = f"{few:.1f} {unit} → {many:.1f} {unit}, {rounds} turns each"
        return Row("turn at 500 messages", what, many / few, "times those at 10", 1.2, note=note)

    def own(cost: _Cost) -> float:
        named = {name: count for name, count in cost.statements.items() if name.startswith("llama-service")}
        named.pop("llama-service checkpoints", None)
        return sum(named.values()) / rounds

    everything = sum(long.statements.values()) - long.statements["bench"]
    return [
        row("first token", median(short.first), median(long.first), "ms"),
        row("whole turn", median(short.whole), median(long.whole), "ms"),
        row("CPU", short.cpu / rounds, long.cpu / rounds, "ms"),
        row("statements of our own", own(short), own(long), "statements"),
        row("written to the log of Postgres", short.written / rounds / 1000, long.written / rounds / 1000, "kB"),
        Row("turn at 500 messages", "statements of our own", own(long), "statements", 8),
        Row("turn at 500 messages", "all statements, checkpoints too", everything / rounds, "statements"),
    ]
