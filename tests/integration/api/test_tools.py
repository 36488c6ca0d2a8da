"""Tools in a turn, through the API: models call them on the real wires, results are steps and bring sources."""

import io
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest

from llama_service.settings import Settings
from persistence import runs
from tests.conftest import Database, Join
from tests.files.office import strict
from tests.files.records import xlsb
from tests.integration.api.test_chat import messages
from tests.providers import AIHubServer, OllamaServer, OpenAIServer
from tests.support import Event, Person, Server, events_of, serving

EVERY = ["search_files", "read_file", "list_tables", "query_table", "calculate", "current_date"]


def steps_of(events: list[Event]) -> dict[str, list[dict[str, Any]]]:
    """Return the states of each step, by its id."""
    told: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event.name == "step":
            told.setdefault(event.data["step"]["id"], []).append(event.data["step"])
    return told


def workbook() -> bytes:
    """Return a workbook as a person makes it: a title above the table, dates, amounts, two sheets."""
    book = openpyxl.Workbook()
    sales = book.active
    assert sales is not None
    sales.title = "Sales"
    for row in (
        ["Sales of the first quarter"],
        [],
        ["Region", "Amount, EUR"],
        ["North", 1200.5],
        ["South", 99],
        ["North", 300],
    ):
        sales.append(row)
    book.create_sheet("Staff").append(["Name", "Region"])
    book["Staff"].append(["Ada", "North"])
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


@pytest.mark.parametrize("source", ["openai", "ollama"])
async def test_a_model_calls_a_tool_and_answers_from_its_result(
    source: str, anna: Person, openai: OpenAIServer, ollama: OllamaServer
) -> None:
    server: Any = openai if source == "openai" else ollama
    server.script(rounds=[[("calculate", {"expression": "17 * 23"})]])
    before = len(server.chats)
    events = await anna.stream("What is 17 times 23?", tools=["calculate"], model_source=source)
    (states,) = steps_of(events).values()
    assert [state["status"] for state in states] == ["running", "done"]
    assert states[-1] == {
        "id": states[-1]["id"],
        "kind": "tool",
        "name": "calculate",
        "title": "Calculate",
        "arguments": {"expression": "17 * 23"},
        "status": "done",
        "result_preview": "391",
        "sources": [],
        "file_ids": [],
        "shared": False,
        "available": True,
        "ms": states[-1]["ms"],
    }
    done = events[-1]
    assert done.name == "done"
    assert done.data["steps"] == [states[-1]]
    answer = (await messages(anna, done.data["conversation_id"]))[-1]
    assert answer["content"] == "The tools say: 391"
    assert answer["steps"] == [states[-1]]
    asked = [chat.body for chat in server.chats[before:] if chat.body.get("tools")]
    assert [tool["function"]["name"] for tool in asked[0]["tools"]] == ["calculate"]
    assert asked[0]["tools"][0]["function"]["parameters"]["required"] == ["expression"]
    said = [message["role"] for message in asked[1]["messages"]]
    assert said == ["system", "user", "assistant", "tool"]
    trace = await anna.get(f"/messages/{answer['id']}/trace")
    nodes = [node["node"] for node in trace["nodes"]]
    assert nodes[-4:] == ["generate", "tools", "generate", "persist"]
    usage = [node["output"]["usage"]["total_tokens"] for node in trace["nodes"] if node["node"] == "generate"]
    assert done.data["usage"]["total_tokens"] == sum(usage), "both calls of the model are counted"


async def test_a_turn_without_tools_offers_none(anna: Person, openai: OpenAIServer) -> None:
    before = len(openai.chats)
    answer = await anna.ask("Anything?")
    assert answer["steps"] == []
    assert all("tools" not in chat.body for chat in openai.chats[before:])


async def test_several_calls_and_several_rounds(anna: Person, openai: OpenAIServer) -> None:
    first = [("calculate", {"expression": f"{n} + {n}"}) for n in range(1, 4)]
    openai.script(rounds=[first, [("calculate", {"expression": "6 * 7"})]], preamble="Let me see.")
    events = await anna.stream("Add them up.", tools=["calculate"])
    steps = events[-1].data["steps"]
    assert [step["result_preview"] for step in steps] == ["2", "4", "6", "42"]
    told = "".join(event.data["content"] for event in events if event.name == "chunk")
    answer = (await messages(anna, events[-1].data["conversation_id"]))[-1]
    assert answer["content"] == told == "Let me see. \n\nLet me see. \n\nThe tools say: 42"
    # The next question is asked on the answer, not on the exchange with the tools.
    openai.script()
    before = len(openai.chats)
    await anna.ask("And now?", conversation_id=events[-1].data["conversation_id"])
    roles = [message["role"] for message in openai.chats[before].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


BAD: dict[str, tuple[tuple[str, Any], str]] = {
    "broken JSON": (("calculate", '{"expression": "1 +'), "not valid JSON"),
    "no object": (("calculate", "[1]"), "not a JSON object"),
    "unknown name": (("launch_rocket", {}), "no tool of this name"),
    "missing argument": (("calculate", {}), "do not fit"),
    "wrong type": (("read_file", {"file": 7, "page": "many"}), "do not fit"),
    "nonsense": (("calculate", {"expression": "__import__('os').system('true')"}), "can't be calculated"),
    "endless": (("calculate", {"expression": "9 ** 9 ** 9 ** 9"}), "can't be calculated"),
    "no time zone": (("current_date", {"timezone": "Mars/Olympus"}), "no such time zone"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_call_is_a_step_that_failed_and_the_model_hears_why(
    kind: str, anna: Person, openai: OpenAIServer
) -> None:
    call, words = BAD[kind]
    openai.script(rounds=[[call]])
    answer = await anna.ask("Do it.", tools=["calculate", "read_file", "current_date"])
    (step,) = answer["steps"]
    assert step["status"] == "failed"
    assert words in step["result_preview"]
    assert words in answer["response"], "the model was told"


async def test_forty_calls_at_once_are_bounded(anna: Person, openai: OpenAIServer) -> None:
    openai.script(rounds=[[("calculate", {"expression": f"{n} * 2"}) for n in range(40)]])
    answer = await anna.ask("All of them.", tools=["calculate"])
    statuses = [step["status"] for step in answer["steps"]]
    assert (statuses.count("done"), statuses.count("failed")) == (16, 24)
    assert "Too many calls" in answer["steps"][-1]["result_preview"]


async def test_a_model_that_never_stops_calling_has_to_answer(anna: Person, openai: OpenAIServer) -> None:
    openai.script(rounds=[[("calculate", {"expression": "1 + 1"})]] * 8)
    before = len(openai.chats)
    answer = await anna.ask("Again and again.", tools=["calculate"])
    assert len(answer["steps"]) == 8
    assert answer["response"].startswith("The tools say")
    assert openai.chats[before + 8].body["tool_choice"] == "none"
    # One that calls even then has said nothing.
    openai.script(rounds=[[("calculate", {"expression": "1 + 1"})]] * 9)
    refused = await anna.http.post("/chat", json={"message": "Again.", "tools": ["calculate"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "provider_bad_answer")


async def test_what_a_search_brought_is_cited_like_all_sources(anna: Person, openai: OpenAIServer) -> None:
    file = await anna.indexed("walnut.txt", b"The Walnut contract ends after 37 months.\n\n" + b"Other words.\n" * 40)
    rounds = [[("search_files", {"query": "How long does the Walnut contract run?", "file": "walnut"})]]
    openai.script(rounds=rounds, reply="It ends after 37 months [1].")
    before = len(openai.chats)
    events = await anna.stream("How long?", tools=["search_files"], use_rag=False)
    (told,) = [event.data["sources"] for event in events if event.name == "sources"]
    assert (told[0]["n"], told[0]["file_id"], told[0]["file_name"]) == (1, file["id"], "walnut.txt")
    done = events[-1].data
    (source,) = done["sources"]
    assert {key: source[key] for key in told[0]} == told[0]
    assert source["cited"] is True
    assert source["highlight"]["text"] == "The Walnut contract ends after 37 months."
    assert done["steps"][0]["sources"] == [1]
    answer = (await messages(anna, done["conversation_id"]))[-1]
    assert answer["content"] == "It ends after 37 months [1]."
    assert answer["sources"] == done["sources"]
    (heard,) = [
        message for chat in openai.chats[before:] for message in chat.body["messages"] if message["role"] == "tool"
    ]
    assert "[1] walnut.txt" in heard["content"]
    assert "37 months" in heard["content"]


async def test_numbers_of_sources_go_on_and_never_change(anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed("oak.txt", b"The oak table costs 120 euros.")
    other = await anna.indexed("elm.txt", b"An elm chair is delivered within nine days.")
    rounds = [[("read_file", {"file": "elm.txt"})], [("read_file", {"file": "oak.txt"})]]
    openai.script(rounds=rounds, reply="Nine days [2], 120 euros [1].")
    asked: dict[str, Any] = {"tools": ["read_file"], "top_k": 1}
    events = await anna.stream("What does the oak table cost?", **asked)
    told = [[source["n"] for source in event.data["sources"]] for event in events if event.name == "sources"]
    assert told[0] == [1]
    assert told[-1] == [1, 2]
    done = events[-1].data
    assert [source["file_name"] for source in done["sources"]] == ["oak.txt", "elm.txt"]
    assert done["sources"][1]["file_id"] == other["id"]
    # The second call brought what was there already, under its number.
    assert [step["sources"] for step in done["steps"]] == [[2], [1]]


ROWS: list[list[str | float]] = [["Region", "Amount, EUR"], ["North", 1200.5], ["South", 99.0], ["North", 300.0]]
SALES: dict[str, Callable[[], bytes]] = {
    "sales.xlsx": workbook,
    "strict sales.xlsx": lambda: strict(workbook()),
    "sales.xlsb": lambda: xlsb("Sales", ROWS),
    "sales.csv": lambda: b"Region;Amount, EUR\nNorth;1200,50\nSouth;99,00\nNorth;300,00\n",
}


@pytest.mark.parametrize("name", SALES)
async def test_a_table_is_asked_in_sql(name: str, anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed(name, SALES[name]())
    stem, _, suffix = name.replace(" ", "_").partition(".")
    table = stem if suffix == "csv" else f"{stem}_sales"
    sql = f"SELECT region, sum(amount_eur) AS total FROM {table} GROUP BY region ORDER BY region"
    openai.script(rounds=[[("list_tables", {})], [("query_table", {"sql": sql})]])
    answer = await anna.ask("How much per region?", tools=["list_tables", "query_table"])
    listed, asked = answer["steps"]
    assert f'{table} ("region" VARCHAR, "amount_eur" DOUBLE): 3 rows' in listed["result_preview"]
    assert asked["result_preview"] == "region | total\nNorth | 1500.5\nSouth | 99"
    assert asked["arguments"]["sql"] == sql, "the query is shown"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/out.csv'",
        "ATTACH '/tmp/other.db'",
        "INSTALL httpfs",
        "SELECT * FROM 'http://127.0.0.1/x.csv'",
        "DROP TABLE sales",
        "SET enable_external_access = true",
        "SELECT 1; SELECT 2",
        "SELECT * FROM range(1000000000) a, range(1000000) b ORDER BY 1",
    ],
)
async def test_a_query_reaches_nothing_but_the_tables(sql: str, anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed("sales.csv", b"a,b\n1,2\n")
    openai.script(rounds=[[("query_table", {"sql": sql})]])
    answer = await anna.ask("Ask it.", tools=["query_table"])
    assert answer["steps"][0]["status"] == "failed"
    assert "root:" not in answer["response"]


async def test_nobody_reads_a_strangers_files(join: Join, openai: OpenAIServer) -> None:
    anna, boris = await join(), await join()
    await anna.indexed("secret.txt", b"The vault opens with 4711.")
    await boris.indexed("own.csv", b"a,b\n1,2\n")
    calls = [("read_file", {"file": "secret"}), ("search_files", {"query": "vault"}), ("list_tables", {})]
    openai.script(rounds=[calls])
    answer = await boris.ask("What opens the vault?", tools=["read_file", "search_files", "list_tables"])
    assert "4711" not in answer["response"]
    assert "secret" not in answer["response"].replace("“secret”", "")


async def test_an_unknown_tool_and_a_model_without_tools_are_refused_by_name(anna: Person, aihub: AIHubServer) -> None:
    unknown = await anna.http.post("/chat", json={"message": "Hi", "tools": ["nope"]})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (422, "tool_unknown")
    body = {"message": "Hi", "tools": ["calculate"], "model_source": "aihub"}
    cannot = await anna.http.post("/chat", json=body)
    assert (cannot.status_code, cannot.json()["error"]["code"]) == (422, "model_cannot")
    assert (await anna.get("/conversations"))["items"] == [], "nothing was written"


async def test_tools_of_a_conversation_stay_on_until_they_are_switched_off(
    anna: Person, openai: OpenAIServer, aihub: AIHubServer
) -> None:
    made = await anna.http.post("/conversations", json={"tools": ["calculate", "gone"]})
    conversation = made.json()
    assert conversation["tools"] == ["calculate", "gone"]
    here = {"conversation_id": conversation["id"]}

    async def offered() -> list[str]:
        before = len(openai.chats)
        await anna.ask("Hello.", **here)
        return [tool["function"]["name"] for tool in openai.chats[before].body.get("tools", [])]

    assert await offered() == ["calculate"], "one that is not there any more is left out"
    # A model that takes none simply has none.
    assert (await anna.ask("Hello.", model_source="aihub", **here))["response"]
    await anna.http.patch(f"/conversations/{conversation['id']}", json={"tools": []})
    assert await offered() == []


async def test_a_new_conversation_keeps_the_tools_that_it_begins_with(anna: Person, openai: OpenAIServer) -> None:
    answer = await anna.ask("Hello.", tools=["calculate"])
    conversation = await anna.get(f"/conversations/{answer['conversation_id']}")
    assert (conversation["tools"], conversation["approved_tools"]) == (["calculate"], [])


async def test_tools_are_listed_with_their_schemas(anna: Person) -> None:
    listed = await anna.get("/tools")
    assert [tool["name"] for tool in listed["items"][: len(EVERY)]] == EVERY
    assert listed["default"] == []
    calculate = next(tool for tool in listed["items"] if tool["name"] == "calculate")
    assert calculate["source"] == "built-in"
    assert not calculate["needs_approval"]
    assert calculate["schema"]["properties"]["expression"]["type"] == "string"


REFUSALS = {
    "openai": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    "ollama": "registry.ollama.ai/library/llava:latest does not support tools",
}


@pytest.mark.parametrize("source", REFUSALS)
async def test_a_server_without_tools_is_asked_without_them(
    source: str, anna: Person, openai: OpenAIServer, ollama: OllamaServer
) -> None:
    """vLLM without a parser for tools, and models of Ollama that have none, refuse the whole request."""
    server: Any = openai if source == "openai" else ollama
    # Of no other test: what is learned of a model stays.
    name = {"openai": "served-by-vllm", "ollama": ollama.models[-1]["name"]}[source]
    asked: dict[str, Any] = {"tools": ["calculate"], "model_source": source, "model_name": name}
    server.no_tools = REFUSALS[source]
    try:
        before = len(server.chats)
        assert "there" in (await anna.ask("Hello there.", **asked))["response"]
        assert [bool(chat.body.get("tools")) for chat in server.chats[before:][:2]] == [True, False]
        # It is learned: the next question is asked once.
        before = len(server.chats)
        assert "again" in (await anna.ask("Hello again.", **asked))["response"]
        assert not any(chat.body.get("tools") for chat in server.chats[before:])
    finally:
        server.no_tools = ""


async def test_calls_are_forgotten_when_their_run_is_over(
    anna: Person, server: Server, openai: OpenAIServer, database: Database
) -> None:
    openai.script(rounds=[[("calculate", {"expression": "1 + 2"})]])
    answer = await anna.ask("Sum.", tools=["calculate"])
    query = "SELECT status, result ->> 'content' FROM tool_calls WHERE run_id = %s"
    assert database.execute(query, (answer["run_id"],)).fetchall() == [("done", "3")]
    database.execute("UPDATE runs SET finished_at = now() - interval '2 hours' WHERE id = %s", (answer["run_id"],))
    async with server.app.state.resources.database.transaction() as session:
        await runs.prune_events(session, 3600)
    assert database.execute(query, (answer["run_id"],)).fetchall() == []


async def test_another_answer_by_a_model_without_tools_does_without(
    anna: Person, openai: OpenAIServer, aihub: AIHubServer
) -> None:
    openai.script(rounds=[[("calculate", {"expression": "2 + 2"})]])
    answer = await anna.ask("Sum.", tools=["calculate"])
    async with anna.http.stream(
        "POST", f"/messages/{answer['message_id']}/replay", json={"model_source": "aihub"}
    ) as response:
        events = [event async for event in events_of(response)]
    assert (events[-1].name, events[-1].data["steps"]) == ("done", [])


async def test_an_exported_conversation_has_its_steps_and_brings_them_back(
    anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    openai.script(rounds=[[("calculate", {"expression": "2 + 2"})]])
    answer = await anna.ask("Sum.", tools=["calculate"])
    exported = await anna.http.get(f"/conversations/{answer['conversation_id']}/export")
    imported = await boris.http.post("/conversations/import", content=exported.content)
    (conversation,) = imported.json()["conversation_ids"]
    assert (await messages(boris, conversation))[-1]["steps"] == answer["steps"]


async def test_who_stands_in_without_tools_answers_without_them(settings: Settings, openai: OpenAIServer) -> None:
    openai.script(fault="503")
    changed = {"model_fallback_sources": ["aihub"]}
    async with serving(settings.model_copy(update=changed)) as running:
        person = await Person.join(running.url)
        answer = await person.ask("Sum.", tools=["calculate"])
        await person.close()
    assert (answer["model_source"], answer["fallback_from"]) == ("aihub", "openai")
    assert answer["steps"] == []
