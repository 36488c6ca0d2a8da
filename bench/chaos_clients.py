"""The clients of the chaos test: each has a conversation, asks, drops, comes back, stops, regenerates, continues."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from bench.follower import Follower
from bench.load import Account, Refused

_PATIENCE = 45.0  # seconds beyond the chaos until a run that has not ended counts as stuck
# What a client has to bear while its server's parts are dying.
_BAD_DAYS = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(slots=True)
class Curtain:
    """The end of the play: set by whoever breaks things, when enough was broken."""

    fell_at: float | None = None

    def fall(self) -> None:
        """Let everybody come to an end."""
        self.fell_at = time.monotonic()


@dataclass
class Turn:
    """A question that the server took, and what its client saw of the answer."""

    question: str
    follower: Follower


@dataclass
class Talker:
    """One person with one conversation, who reaches the service at several addresses."""

    account: Account
    urls: list[str]
    dice: random.Random
    curtain: Curtain
    name: str
    conversation: str | None = None
    turns: list[Turn] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def _left(self) -> float:
        """Return the seconds until this client loses its patience."""
        return max((self.curtain.fell_at or time.monotonic()) + _PATIENCE - time.monotonic(), 0.0)

    def _somewhere(self) -> Account:
        return replace(self.account, url=self.dice.choice(self.urls))

    async def talk(self) -> None:
        """Go on until the curtain falls, then wait for the last answer's end."""
        while self.curtain.fell_at is None:
            try:
                await (self._upload() if self.dice.random() < 0.1 else self._turn())
            except Refused as refused:
                self._weigh(refused)
                await asyncio.sleep(0.3)
            except _BAD_DAYS:
                self.seen["calls that failed"] += 1
                await asyncio.sleep(0.3)

    def _weigh(self, refused: Refused) -> None:
        self.seen[f"refused with {refused.status}"] += 1
        # Unavailable, busy with another run, or nothing there to continue: all of it happens on such a day.
        if refused.status not in (400, 409, 500, 503):
            self.violations.append(f"{self.name}: {refused}")

    def _again(self) -> tuple[str, dict[str, Any]]:
        """Choose what to ask: mostly a new question, else another or the rest of the last answer."""
        last = self.turns[-1] if self.turns else None
        chance = self.dice.random()
        if last is not None and chance < 0.15:
            return last.question, {"regenerate": True, "parent_message_id": last.follower.start["user_message_id"]}
        if last is not None and chance < 0.3 and last.follower.events[-1].name == "error":
            return last.question, {"continue_message_id": last.follower.start["message_id"]}
        return f"{self.name} asks question {len(self.turns)}.", {}

    async def _turn(self) -> None:
        question, fields = self._again()
        follower = Follower(self._somewhere())
        leave = follower.heard(self.dice.randint(1, 8)) if self.dice.random() < 0.5 else None
        where = {"conversation_id": self.conversation} if self.conversation else {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._left()):
                await follower.ask("" if fields else question, leave, **where, **fields)
        if not follower.events:
            return
        self.conversation = follower.start["conversation_id"]
        self.turns.append(Turn(question, follower))
        if not follower.ended and self.dice.random() < 0.15:
            await self._somewhere().call("POST", f"/chat/runs/{follower.run_id}/cancel")
            self.seen["stops"] += 1
        await self._follow(follower)

    async def _follow(self, follower: Follower) -> None:
        """Come back, wherever, until the run's end has been seen."""
        while not follower.ended:
            if not self._left():
                self.violations.append(f"{self.name}: run {follower.run_id} never ended")
                return
            self.seen["returns"] += 1
            leave = follower.heard(self.dice.randint(5, 40)) if self.dice.random() < 0.3 else None
            try:
                async with asyncio.timeout(self._left()):
                    await follower.resume(self._somewhere(), leave)
            except Refused as refused:
                self._weigh(refused)
            except TimeoutError:
                continue
            await asyncio.sleep(0.1)
        self.seen[f"ended with {follower.events[-1].name}"] += 1

    async def _upload(self) -> None:
        text = f"{self.name} keeps {self.dice.randint(1, 10**9)} apples in shed {len(self.files)}. " * 20
        self.files.append((await self._somewhere().upload("apples.txt", text.encode()))["id"])
        self.seen["uploads"] += 1
