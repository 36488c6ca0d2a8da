from hypothesis import given
from hypothesis import strategies as st

from chains.providers.stops import StopCutter

PIECES = st.lists(st.text(alphabet="abS", min_size=1, max_size=5), max_size=20)
STOPS = st.lists(st.text(alphabet="abS", min_size=1, max_size=4), max_size=3)


@given(PIECES, STOPS)
def test_cuts_where_the_whole_text_would_be_cut(pieces: list[str], stops: list[str]) -> None:
    whole = "".join(pieces)
    places = [place for stop in stops if (place := whole.find(stop)) >= 0]
    cutter = StopCutter(stops)
    said = ""
    for piece in pieces:
        said += cutter.feed(piece)
        if cutter.hit:
            break
    said += cutter.rest()
    assert cutter.hit == bool(places)
    if not places:
        assert said == whole
    else:
        assert said == whole[: len(said)]
        assert not any(stop in said for stop in stops)
