"""Events that an older version has left a gap in: new ones stand behind all of them, readers miss none."""

from uuid import uuid4

from graphs.runs.run import Sent
from graphs.runs.stream import RunStream
from persistence.events import TEXT, RunEvent

WITH_A_GAP = [RunEvent.of(number, TEXT, {"content": f" t{number}"}) for number in (1, 2, 3, 6, 7, 8)]


async def test_numbers_go_on_behind_the_last_and_readers_come_back_by_number() -> None:
    stream = RunStream(uuid4(), WITH_A_GAP)
    stream.emit("resumed", {"attempt": 2})
    stream.committed(stream.take())
    stream.close()
    for after, left in ((0, [1, 2, 3, 6, 7, 8, 9]), (4, [6, 7, 8, 9]), (6, [7, 8, 9]), (9, [])):
        assert [event.seq async for events in stream.read(after) for event in events] == left


def test_no_model_goes_on_behind_a_gap() -> None:
    assert Sent.of(WITH_A_GAP).text == " t1 t2 t3"
