"""A limit on guessing passwords, shared by all workers: it stops the guesser and leaves others alone.

Failures of the last minute are counted for each account at each address. With N = LOGIN_ATTEMPTS_PER_MINUTE:

- N failures of an account at an address: that account waits at that address. A guesser at one account.
- From an address where an account has signed in before, nothing else counts: its owner is let in, whoever guesses.
- 4 N failures of an account at all addresses: it waits at addresses that it is not known at. Guessers at one account
  from many addresses.
- 4 N failures at an address: accounts that have failed there once wait there. Somebody tries a list of names; the
  people of the same office, who know their passwords, do not.
- 20 N failures at an address: every account waits there that is not known there. The same, with a long list.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select, text

from llama_service.errors import RateLimited
from persistence.session import Database
from persistence.tables import LoginFailure

WINDOW = timedelta(minutes=1)
MANY, TOO_MANY = 4, 20  # times the limit

_COUNT = text(
    """
    SELECT count(*) FILTER (WHERE account = :account AND ip = :ip) AS pair,
           count(*) FILTER (WHERE account = :account) AS account,
           count(*) FILTER (WHERE ip = :ip) AS address,
           min(created_at) AS first,
           EXISTS (
               SELECT FROM auth_sessions s JOIN users u ON u.id = s.user_id
               WHERE lower(u.username) = :account AND s.ip = :ip
           ) AS known
    FROM login_failures WHERE created_at > :since AND (account = :account OR ip = :ip)
    """
)


def _key(account: str) -> str:
    return account.lower()[:320]


class LoginLimiter:
    """Counts failed sign-ins of the last minute in Postgres."""

    def __init__(self, database: Database, per_minute: int) -> None:
        self._database = database
        self._limit = per_minute

    async def check(self, account: str, ip: str) -> None:
        """Raise RateLimited, with the seconds to wait, where one more attempt would be too many."""
        since = datetime.now(UTC) - WINDOW
        async with self._database.reading() as session:
            row = (await session.execute(_COUNT, {"account": _key(account), "ip": ip[:64], "since": since})).one()
        if row.pair >= self._limit or (not row.known and self._is_guessing(row.pair, row.account, row.address)):
            raise RateLimited(retry_after=max(1.0, (row.first - since).total_seconds()))

    def _is_guessing(self, pair: int, account: int, address: int) -> bool:
        many, too_many = self._limit * MANY, self._limit * TOO_MANY
        return account >= many or (address >= many and pair > 0) or address >= too_many

    async def failed(self, account: str, ip: str) -> None:
        """Count a failure, in a transaction of its own: the request's is about to be rolled back."""
        async with self._database.transaction() as session:
            session.add(LoginFailure(account=_key(account), ip=ip[:64]))

    async def may_mail(self, account: str) -> bool:
        """Whether an account may be sent a mail now, which counts: one in `WINDOW`, whoever asks for it."""
        key = _key(f"mail to {account}")
        async with self._database.transaction() as session:
            await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})
            since = datetime.now(UTC) - WINDOW
            sent = select(LoginFailure.id).where(LoginFailure.account == key, LoginFailure.created_at > since).limit(1)
            if await session.scalar(sent) is not None:
                return False
            session.add(LoginFailure(account=key, ip=""))
        return True

    async def prune(self) -> None:
        """Delete what is too old to count."""
        async with self._database.transaction() as session:
            old = datetime.now(UTC) - 10 * WINDOW
            await session.execute(delete(LoginFailure).where(LoginFailure.created_at < old))

    async def succeeded(self, account: str, ip: str) -> None:
        """Forget the failures of an account at the address where its owner has signed in."""
        async with self._database.transaction() as session:
            own = (LoginFailure.account == _key(account), LoginFailure.ip == ip[:64])
            await session.execute(delete(LoginFailure).where(*own))
