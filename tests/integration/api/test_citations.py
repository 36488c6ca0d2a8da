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


async def test_a_citation_points_at_the_sentence_that_the_answer_used(anna: Person, openai: OpenAIServer) -> None:
    pages = [
        "The Basic plan answers within 48 hours. It costs 19 euro a month. Students pay nothing.",
        "The Pro plan answers within 4 hours. It costs 79 euro a month. A seat more costs 9 euro.",
    ]
    file = await anna.indexed("plans.pdf", pdf(pages))
    openai.script(reply="The Pro plan costs 79 euro a month. [1] Students get the Basic plan for nothing [1].")
    answer = await anna.ask("What do the support plans cost?", file_ids=[file["id"]])
    source = answer["sources"][0]
    text = (await anna.get(f"/files/{file['id']}/text"))["text"]
    assert source["start"] <= text.index("Basic") < text.index("A seat") < source["end"], "both pages are one source"
    highlight = source["highlight"]
    assert highlight["text"] == "It costs 79 euro a month."
    assert highlight["page"] == 2
    assert text[highlight["start"] : highlight["end"]] == highlight["text"]
    kept = (await anna.get(f"/conversations/{answer['conversation_id']}/messages"))["items"][-1]
    assert kept["sources"][0]["highlight"] == highlight


async def test_a_citation_points_at_the_row_of_a_table(anna: Person, openai: OpenAIServer) -> None:
    rows = "\n".join(f"Region {n},{n * 7},{n * 1300} EUR" for n in range(1, 9))
    file = await anna.indexed("sales.csv", f"Region,Orders,Amount\n{rows}\n".encode())
    openai.script(reply="Region 6 had 42 orders worth 7800 EUR [1].")
    answer = await anna.ask("How many orders had region 6?", file_ids=[file["id"]])
    assert answer["sources"][0]["highlight"]["text"] == "Region 6 | 42 | 7800 EUR"


async def test_an_answer_in_its_own_words_points_at_the_passage(anna: Person, openai: OpenAIServer) -> None:
    file = await anna.indexed("plans.txt", b"The Basic plan answers within two days. Students pay nothing.")
    openai.script(reply="Kostenlos [1].")
    answer = await anna.ask("What do students pay?", file_ids=[file["id"]])
    assert answer["sources"][0]["cited"] is True
    assert answer["sources"][0]["highlight"] is None
