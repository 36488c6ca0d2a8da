"""Administration: invitations, the same for several accounts, and what an account has stored and spent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from llama_service.settings import Settings
from tests.conftest import Database, Join
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_libraries import group, user_id
from tests.providers import OpenAIServer
from tests.support import PASSWORD, Person, Server, eventually, serving


@pytest.fixture(scope="module")
async def closed(settings: Settings) -> AsyncIterator[Server]:
    """A server whose operator lets nobody register."""
    closed = settings.model_copy(update={"allow_registration": False, "inline_worker": False})
    async with serving(closed) as running:
        yield running


async def invited(admin: Person, **how: Any) -> dict[str, Any]:
    made = await admin.http.post("/admin/invitations", json=how)
    assert made.status_code == 201, made.text
    told: dict[str, Any] = made.json()
    return told


async def register(server: Server, **more: Any) -> httpx.Response:
    name = f"i{uuid4().hex[:10]}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD, **more}
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1") as http:
        return await http.post("/auth/register", json=body)


async def is_good(server: Server, token: str) -> bool:
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1") as http:
        return bool((await http.get(f"/auth/invitations/{token}")).json()["is_good"])


async def test_an_invitation_lets_people_in_where_registration_is_closed(closed: Server, admin: Person) -> None:
    assert (await register(closed)).status_code == 403
    crowd = await group(admin, f"New {admin.name}")
    made = await invited(admin, uses=2, group_ids=[crowd], note="The new ones")
    assert await is_good(closed, made["token"])
    first = await register(closed, invitation=made["token"])
    assert first.status_code == 201, first.text
    # Who could not register has not used it.
    again = {"username": first.json()["username"], "email": "another@example.com"}
    assert (await register(closed, invitation=made["token"], **again)).status_code == 409
    told = await asyncio.gather(*(register(closed, invitation=made["token"]) for _ in range(4)))
    assert sorted(answer.status_code for answer in told) == [201, 404, 404, 404], "one use was left"
    assert not await is_good(closed, made["token"])
    members = (await admin.get(f"/groups/{crowd}/members"))["items"]
    assert len(members) == 2
    assert first.json()["username"] in {member["username"] for member in members}
    (row,) = [row for row in (await admin.get("/admin/invitations"))["items"] if row["id"] == made["id"]]
    assert (row["uses_left"], row["note"], "token" in row) == (0, "The new ones", False)


async def test_an_invitation_ends(closed: Server, admin: Person, anna: Person, database: Database) -> None:
    withdrawn, expired = await invited(admin), await invited(admin)
    assert (await admin.http.delete(f"/admin/invitations/{withdrawn['id']}")).status_code == 204
    database.execute("UPDATE invitations SET expires_at = clock_timestamp() WHERE id = %s", (expired["id"],))
    for invitation in (withdrawn, expired, {"token": "nonsense"}):
        refused = await register(closed, invitation=invitation["token"])
        assert (refused.status_code, envelope(refused)["code"]) == (404, "not_found")
    assert (await anna.http.post("/admin/invitations", json={})).status_code == 403
    for wrong in ({"uses": 0}, {"expires_at": "2020-01-01T00:00:00Z"}):
        assert (await admin.http.post("/admin/invitations", json=wrong)).status_code == 422
    unknown = {"group_ids": [str(uuid4())]}
    assert (await admin.http.post("/admin/invitations", json=unknown)).status_code == 404


async def test_the_same_is_done_to_several_accounts(admin: Person, join: Join) -> None:
    people = [await join() for _ in range(3)]
    ids = [await user_id(person) for person in people]
    nobody = str(uuid4())

    async def do(action: str, *more: str) -> dict[str, Any]:
        answer = await admin.http.post("/admin/users/bulk", json={"user_ids": [*ids, *more], "action": action})
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def answers() -> list[int]:
        return [(await person.http.get("/auth/me")).status_code for person in people]

    told = await do("sign_out", nobody)
    assert (told["done"], told["failed"]) == (ids, [{"user_id": nobody, "code": "not_found"}])
    assert await answers() == [401] * 3
    for person in people:
        await person.sign_in()
    await do("deactivate")
    assert set(await answers()) <= {401, 403}
    await do("activate")
    for person in people:
        await person.sign_in()
    assert await answers() == [200] * 3
    assert [(await person.get("/auth/me"))["is_verified"] for person in people] == [False] * 3
    await do("confirm")
    assert [(await person.get("/auth/me"))["is_verified"] for person in people] == [True] * 3
    himself = await admin.http.post("/admin/users/bulk", json={"user_ids": [await user_id(admin)], "action": "delete"})
    assert himself.status_code == 400
    assert (
        await people[0].http.post("/admin/users/bulk", json={"user_ids": ids, "action": "delete"})
    ).status_code == 403
    assert (await do("delete"))["failed"] == []
    assert {failure["code"] for failure in (await do("activate"))["failed"]} == {"not_found"}


async def test_a_ban_ends_what_is_being_answered(
    admin: Person, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    openai.script(tokens=["word "] * 400, delay=0.05)
    him = await user_id(anna)
    asking = asyncio.create_task(anna.http.post("/chat", json={"message": "Talk for long.", "model_source": "openai"}))

    def statuses() -> list[str]:
        query = "SELECT status FROM runs WHERE user_id = %s"
        return [row[0] for row in database.execute(query, (him,)).fetchall()]

    async def runs() -> bool:
        return statuses() == ["running"]

    await eventually(runs)
    assert (await admin.http.patch(f"/admin/users/{him}", json={"is_active": False})).status_code == 200
    assert statuses() == ["stopped"]
    await asking


async def test_what_an_account_has_stored_and_spent(admin: Person, anna: Person) -> None:
    await anna.indexed("a.txt", b"The owl sleeps.")
    await anna.ask("Hello")
    told = await admin.get(f"/admin/users/{await user_id(anna)}/usage")
    assert (told["files"], told["bytes"], told["conversations"]) == (1, 15, 1)
    assert told["output_tokens"] > 0
    assert (await anna.http.get(f"/admin/users/{await user_id(admin)}/usage")).status_code == 403
    assert (await admin.http.get(f"/admin/users/{uuid4()}/usage")).status_code == 404


async def test_everybody_is_told(admin: Person, anna: Person, server: Server) -> None:
    text = f"Maintenance tonight {admin.name}"

    async def told(person: Person) -> list[tuple[str, bool]]:
        items = (await person.get("/announcements"))["items"]
        return [(item["text"], item["is_warning"]) for item in items if admin.name in item["text"]]

    assert (await anna.http.post("/admin/announcements", json={"text": text})).status_code == 403
    made = await admin.http.post("/admin/announcements", json={"text": f" {text} ", "is_warning": True})
    assert made.status_code == 201, made.text
    over = {"text": f"Over {admin.name}", "until": "2020-01-01T00:00:00Z"}
    past = await admin.http.post("/admin/announcements", json=over)
    assert past.status_code == 201
    assert await told(anna) == [(text, True)]
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1") as nobody:
        assert (await nobody.get("/announcements")).status_code == 401
    for wrong in ({"text": " "}, {"text": "x" * 501}, {}):
        assert (await admin.http.post("/admin/announcements", json=wrong)).status_code == 422
    one = f"/admin/announcements/{made.json()['id']}"
    assert [(await admin.http.delete(one)).status_code for _ in range(2)] == [204, 404]
    assert await told(anna) == []
    assert (await admin.http.delete(f"/admin/announcements/{past.json()['id']}")).status_code == 204
