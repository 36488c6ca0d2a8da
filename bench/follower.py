"""A client that loses no word: reads a run, comes back after a drop, and notes whatever was out of order."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from bench.load import Account, Refused


@dataclass(frozen=True, slots=True)
class Event:
    """One SSE event."""

    id: int
    name: str
    data: dict[str, Any]


async def events_of(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """Yield the events of an SSE answer."""
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Event(int(fields["id"]), fields["event"], orjson.loads(fields["data"]))
            fields = {}


@dataclass
class Follower:
    """One run and what its client has seen of it. `faults` names each event that came twice or out of order."""

    account: Account
    events: list[Event] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def start(self) -> dict[str, Any]:
        """The first event's data: the run's ids."""
        return self.events[0].data

    @property
    def run_id(self) -> str:
        """The run."""
        return str(self.start["run_id"])

    @property
    def last_id(self) -> int:
        """The number of the last event that was seen."""
        return self.events[-1].id if self.events else 0

    @property
    def ended(self) -> bool:
        """Whether the run's last event was seen."""
        return bool(self.events) and self.events[-1].name in ("done", "error")

    @property
    def text(self) -> str:
        """The answer as far as it was seen."""
        return "".join(event.data["content"] for event in self.events if event.name == "chunk")

    def heard(self, count: int) -> Callable[[], bool]:
        """Return a condition for `ask` and `resume`: so many pieces of text have been seen."""
        return lambda: sum(event.name == "chunk" for event in self.events) >= count

    async def ask(self, question: str, enough: Callable[[], bool] | None = None, **fields: Any) -> None:
        """Ask and read until the end, until `enough` says so, or until the server goes away.

        Raises Refused where the server says no.
        """
        await self._read("POST", "/chat/stream", {"message": question, **fields}, {}, enough)

    async def resume(self, account: Account | None = None, enough: Callable[[], bool] | None = None) -> None:
        """Come back with the number of the last event, to any API process."""
        self.account = account or self.account
        path = f"/chat/runs/{self.run_id}/stream"
        await self._read("GET", path, None, {"Last-Event-ID": str(self.last_id)}, enough)

    async def _read(
        self, method: str, path: str, body: Any, headers: dict[str, str], enough: Callable[[], bool] | None
    ) -> None:
        account = self.account
        sent = {**account.headers, **headers}
        data = orjson.dumps(body) if body is not None else None
        try:
            async with account.session.request(
                method, f"{account.url}/api/v1{path}", data=data, headers=sent
            ) as response:
                if response.status != 200:
                    raise Refused(f"{method} {path}", response.status, await response.text())
                async for event in events_of(response):
                    self._take(event)
                    if enough is not None and enough():
                        return
        except (aiohttp.ClientError, TimeoutError, OSError):
            return  # the server went away; `ended` tells whether the run was over

    def _take(self, event: Event) -> None:
        if event.id != self.last_id + 1:
            self.faults.append(f"{event.name} {event.id} after {self.last_id}")
        if self.ended:
            self.faults.append(f"{event.name} {event.id} behind the end")
        self.events.append(event)
