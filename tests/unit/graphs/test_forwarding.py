"""What a stopped run has written and not handed on is sent once, whether the graph hands it on later or not."""

from hypothesis import given
from hypothesis import strategies as st

from graphs.runs.run import Forwarding

PIECES = st.lists(st.text(min_size=1, max_size=5), max_size=8)


@given(PIECES, st.data())
def test_every_character_is_sent_once_and_in_order(pieces: list[str], data: st.DataObject) -> None:
    forwarding, written, sent, waiting = Forwarding(), "", "", list[str]()
    for piece in pieces:
        written += piece
        waiting.append(piece)
        match data.draw(st.sampled_from(["wait", "hand on", "stop"])):
            case "hand on":
                while waiting:
                    sent += forwarding.unsent(waiting.pop(0))
            case "stop":
                sent += forwarding.rest(written)
        assert written.startswith(sent)
    sent += forwarding.rest(written)
    assert sent == written
    for piece in waiting:
        assert forwarding.unsent(piece) == "", "it was sent already"
