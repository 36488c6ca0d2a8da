"""The short form of `make chaos`: everything dies at least once while people talk, and nothing is lost."""

from pathlib import Path

import pytest

from bench.chaos import chaos
from bench.stage import Script, stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_nothing_is_lost_while_everything_dies(tmp_path: Path) -> None:
    async with stage(tmp_path, script=Script(tokens=60, rate=20)) as parts:
        outcome = await chaos(parts, seconds=15, conversations=15, seed=7)
    assert outcome.violations == []
    assert outcome.happened["turns"] > 15
    assert sum(count for what, count in outcome.happened.items() if what.startswith(("kills", "restarts"))) >= 5
