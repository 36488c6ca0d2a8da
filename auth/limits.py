"""A limit on guessing passwords, per account and per address, shared by all workers."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select

from llama_service.errors import RateLimited
from persistence.session import Database
from persistence.tables import LoginFailure

WINDOW = timedelta(minutes=1)
# Many people can share an address.
ADDRESS_FACTOR = 4


class LoginLimiter:
    """Counts failed sign-ins of the last minute in Postgres."""

    def __init__(self, database: Database, per_minute: int) -> None:
        self._database = database
        self._per_account = per_minute
        self._per_address = per_minute * ADDRESS_FACTOR

    async def check(self, account: str, ip: str) -> None:
        """Raise RateLimited, with the seconds to wait, where one more attempt would be too many."""
        since = datetime.now(UTC) - WINDOW
        account = account.lower()[:320]
        by_account = LoginFailure.account == account
        by_address = LoginFailure.ip == ip
        async with self._database.transaction() as session:
            counted = (
                await session.execute(
                    select(
                        func.count().filter(by_account).label("account"),
                        func.count().filter(by_address).label("address"),
                        func.min(LoginFailure.created_at).filter(by_account).label("account_first"),
                        func.min(LoginFailure.created_at).filter(by_address).label("address_first"),
                    ).where(LoginFailure.created_at > since, by_account | by_address)
                )
            ).one()
        waits = []
        if counted.account >= self._per_account:
            waits.append(counted.account_first)
        if counted.address >= self._per_address:
            waits.append(counted.address_first)
        if waits:
            wait = max(waits) - since
            raise RateLimited(retry_after=max(1.0, wait.total_seconds()))

    async def failed(self, account: str, ip: str) -> None:
        """Count a failure, in a transaction of its own: the request's is about to be rolled back."""
        async with self._database.transaction() as session:
            session.add(LoginFailure(account=account.lower()[:320], ip=ip))

    async def prune(self) -> None:
        """Delete what is too old to count."""
        async with self._database.transaction() as session:
            old = datetime.now(UTC) - 10 * WINDOW
            await session.execute(delete(LoginFailure).where(LoginFailure.created_at < old))

    async def succeeded(self, account: str) -> None:
        """Forget the failures of an account whose owner has signed in."""
        async with self._database.transaction() as session:
            await session.execute(delete(LoginFailure).where(LoginFailure.account == account.lower()[:320]))
