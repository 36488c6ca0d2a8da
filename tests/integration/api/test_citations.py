"""A citation points at the place that the question was about, not at the beginning of what was read around it."""

from tests.files.pdf import pdf
from tests.providers import OpenAIServer
from tests.support import Person


def page_about(subject: str, fact: str) -> str:
    filler = [f"The {subject} has its own rules, which clause {n} of this part sets out in detail." for n in range(14)]
    return "\n".join([*filler[:7], fact, *filler[7:]])


async def test_page_and_snippet_are_those_of_the_match(anna: Person, openai: OpenAIServer) -> None:
    subjects = ["garden", "cellar", "roof", "kitchen", "stairway", "chimney"]
    painters = ["Adelheid", "Bartholomew", "Clementine", "Dagobert", "Oswald", "Frederika"]
    pages = [
        page_about(subject, f"{painter} repainted the {subject} in {1950 + n}.")
        for n, (subject, painter) in enumerate(zip(subjects, painters, strict=True))
    ]
    file = await anna.indexed("house.pdf", pdf(pages))
    answer = await anna.ask("When was the stairway repainted by Oswald?", file_ids=[file["id"]])
    text = (await anna.get(f"/files/{file['id']}/text"))["text"]
    chunks = {chunk["id"]: chunk for chunk in (await anna.get(f"/files/{file['id']}/chunks"))["items"]}
    best = answer["sources"][0]
    assert best["page"] == 5
    assert "1954" in best["snippet"]
    assert best["snippet"] in text[best["start"] : best["end"]]
    for source in answer["sources"]:
        match = chunks[source["chunk_id"]]
        assert source["page"] == match["page"]
        assert match["text"].startswith(source["snippet"])
        assert source["start"] <= match["start"] < match["end"] <= source["end"]
    # A page or so each: a citation of a whole document would point nowhere.
    assert all(source["end"] - source["start"] <= 2_000 for source in answer["sources"])


async def test_a_short_page_is_a_passage_of_its_own(anna: Person, openai: OpenAIServer) -> None:
    pages = [
        "Chapter 1\nSupport plans.",
        "The Basic plan answers within 48 hours and costs 19 euro a month.",
        "The Pro plan answers within 4 hours and costs 79 euro a month.",
        "The battery has a warranty of twelve months, the machine one of two years.",
    ]
    file = await anna.indexed("plans.pdf", pdf(pages))
    answer = await anna.ask("How long is the warranty of the battery?", file_ids=[file["id"]])
    best = answer["sources"][0]
    assert best["page"] == 4
    assert best["snippet"] == pages[3]
    for chunk in (await anna.get(f"/files/{file['id']}/chunks"))["items"]:
        assert chunk["text"] == pages[chunk["page"] - 1], "no passage spans two pages"


async def test_what_stands_on_every_page_is_read_once(anna: Person, openai: OpenAIServer) -> None:
    facts = ["The roof is red.", "The door is blue.", "The wall is white.", "The floor is oak.", "The stove is iron."]
    pages = [f"Annual report 2025\n{fact}\nPage {n} of 5" for n, fact in enumerate(facts, 1)]
    file = await anna.indexed("report.pdf", pdf(pages))
    text = (await anna.get(f"/files/{file['id']}/text"))["text"]
    assert text.count("Annual report 2025") == 1
    assert text.count("of 5") == 1
    assert all(text.count(fact) == 1 for fact in facts)
