"""The main job in half a minute: `pytest tests/smoke -q`."""

from tests.integration.api.test_files import AURORA
from tests.providers import OpenAIServer
from tests.support import Person, Server


async def test_the_server_is_up(server: Server, anna: Person) -> None:
    assert (await anna.http.get(f"{server.url}/health")).json()["status"] == "healthy"
    assert (await anna.http.get(f"{server.url}/ready")).status_code == 200


async def test_sign_in_upload_ask_and_read_the_citation(anna: Person, openai: OpenAIServer) -> None:
    file = await anna.indexed("aurora.txt", AURORA)
    assert file["status"] == "completed"
    openai.script(reply="Tomas Rey is the chief engineer [1].")
    answer = await anna.ask("Who is the chief engineer of Aurora?")
    assert "[1]" in answer["response"]
    source = answer["sources"][0]
    text = (await anna.get(f"/files/{source['file_id']}/text"))["text"]
    assert "Tomas Rey" in text[source["start"] : source["end"]]
    page = await anna.get(f"/conversations/{answer['conversation_id']}/messages")
    assert [message["role"] for message in page["items"]] == ["user", "assistant"]
