"""Accounts: what a client may rely on, and what an attacker may not."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import jwt

from auth.users import UserManager
from tests.conftest import Database, Join
from tests.support import PASSWORD, Person, Server


def envelope(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert set(body) == {"error"}
    assert body["error"]["request_id"] == answer.headers["X-Request-ID"]
    error: dict[str, Any] = body["error"]
    return error


async def test_who_registers_is_known(anna: Person) -> None:
    me = await anna.get("/auth/me")
    assert set(me) == {"id", "username", "email", "is_active", "is_superuser", "is_verified", "created_at"}
    assert (me["username"], me["email"], me["is_superuser"]) == (anna.name, anna.email, False)


async def test_a_name_or_address_is_taken_once_in_any_case(anna: Person) -> None:
    body = {"username": anna.name.upper(), "email": f"x{anna.email}", "password": PASSWORD}
    taken = await anna.http.post("/auth/register", json=body)
    assert (taken.status_code, envelope(taken)["code"]) == (409, "conflict")
    assert [detail["type"] for detail in envelope(taken)["details"]] == ["username_taken"]
    body = {"username": f"x{anna.name[:40]}", "email": anna.email.upper(), "password": PASSWORD}
    assert (await anna.http.post("/auth/register", json=body)).status_code == 409


async def test_a_race_for_a_name_has_one_winner(server: Server) -> None:
    name = f"r{uuid4().hex[:10]}"
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=60) as http:
        bodies = [{"username": name, "email": f"{n}{name}@example.com", "password": PASSWORD} for n in range(4)]
        answers = await asyncio.gather(*(http.post("/auth/register", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_nobody_registers_as_administrator(server: Server) -> None:
    name = f"r{uuid4().hex[:10]}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD, "is_superuser": True}
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=60) as http:
        answer = await http.post("/auth/register", json=body)
    assert answer.status_code == 201
    assert answer.json()["is_superuser"] is False


async def test_bad_registrations_say_what_is_wrong(anna: Person) -> None:
    for body, where, code, limit in (
        ({"username": "ab", "email": "a@example.com", "password": PASSWORD}, "username", "user_name", None),
        ({"username": "abcdef", "email": "nonsense", "password": PASSWORD}, "email", "email", None),
        ({"username": "abcdef", "email": "a@example.com", "password": "sh0rt"}, "password", "string_too_short", 8),
        (
            {"username": "someone-long", "email": "a@example.com", "password": "someone-long"},
            "password",
            "password_is_name",
            None,
        ),
    ):
        answer = await anna.http.post("/auth/register", json=body)
        assert answer.status_code == 422, body
        error = envelope(answer)
        assert error["code"] == "validation_error"
        assert error["message"] == "Request validation failed"
        (detail,) = error["details"]
        assert (detail["loc"], detail.get("code", detail["type"]), detail.get("limit")) == (
            ["body", where],
            code,
            limit,
        )
        assert "Value error" not in answer.text
        assert "sh0rt" not in answer.text


async def test_login_by_name_by_address_and_by_form(anna: Person) -> None:
    for name in (anna.name, anna.email, anna.name.upper()):
        answer = await anna.http.post("/auth/login", json={"username": name, "password": anna.password})
        assert answer.status_code == 200
        assert set(answer.json()) == {"access_token", "token_type", "expires_in", "refresh_token"}
    form = await anna.http.post("/auth/login", data={"username": anna.name, "password": anna.password})
    assert form.json()["token_type"] == "bearer"


async def test_missing_bad_and_foreign_tokens(server: Server, anna: Person) -> None:
    foreign = jwt.encode({"sub": "x", "aud": "other"}, "another key that is long enough to be one", algorithm="HS256")
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1") as http:
        for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Bearer {foreign}"}):
            answer = await http.get("/auth/me", headers=headers)
            assert answer.status_code == 401
            error = envelope(answer)
            assert (error["code"], error["message"]) == ("not_authenticated", "Not authenticated")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_an_expired_token_says_so(server: Server, anna: Person) -> None:
    claims = jwt.decode(anna.tokens["access_token"], options={"verify_signature": False})
    secret = server.settings.jwt_secret_key.get_secret_value()
    old = jwt.encode({**claims, "exp": 1}, secret, algorithm="HS256")
    answer = await anna.http.get("/auth/me", headers={"Authorization": f"Bearer {old}"})
    assert (answer.status_code, envelope(answer)["code"]) == (401, "token_expired")


async def test_logout_really_ends_the_token(anna: Person) -> None:
    assert (await anna.http.post("/auth/logout")).status_code == 204
    answer = await anna.http.get("/auth/me")
    assert (answer.status_code, envelope(answer)["code"]) == (401, "token_expired")
    spent = await anna.http.post("/auth/refresh", json={"refresh_token": anna.tokens["refresh_token"]})
    assert spent.status_code == 401


async def test_logout_of_all_sessions(anna: Person) -> None:
    first = anna.tokens["access_token"]
    await anna.sign_in()
    assert (await anna.http.post("/auth/logout", json={"all": True})).status_code == 204
    for token in (first, anna.tokens["access_token"]):
        answer = await anna.http.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


async def test_refresh_rotates_and_reuse_ends_the_session(anna: Person) -> None:
    old = anna.tokens["refresh_token"]
    answer = await anna.http.post("/auth/refresh", json={"refresh_token": old})
    assert answer.status_code == 200
    fresh = answer.json()
    assert fresh["refresh_token"] != old
    headers = {"Authorization": f"Bearer {fresh['access_token']}"}
    assert (await anna.http.get("/auth/me", headers=headers)).status_code == 200
    # Somebody uses the spent one: two hold it, so neither may go on.
    assert (await anna.http.post("/auth/refresh", json={"refresh_token": old})).status_code == 401
    assert (await anna.http.get("/auth/me", headers=headers)).status_code == 401
    again = await anna.http.post("/auth/refresh", json={"refresh_token": fresh["refresh_token"]})
    assert again.status_code == 401


async def test_change_password_ends_other_sessions(anna: Person) -> None:
    other = anna.tokens["access_token"]
    await anna.sign_in()
    body = {"current_password": "wrong wrong", "new_password": "another passphrase"}
    assert (await anna.http.post("/auth/change-password", json=body)).status_code == 401
    body["current_password"] = anna.password
    assert (await anna.http.post("/auth/change-password", json=body)).status_code == 204
    assert (await anna.http.get("/auth/me")).status_code == 200
    answer = await anna.http.get("/auth/me", headers={"Authorization": f"Bearer {other}"})
    assert answer.status_code == 401
    old = await anna.http.post("/auth/login", json={"username": anna.name, "password": anna.password})
    assert (old.status_code, envelope(old)["code"]) == (401, "invalid_credentials")


async def test_guessing_is_slowed_down_for_the_account(anna: Person, boris: Person) -> None:
    wrong = {"username": anna.name, "password": "not the password"}
    codes = [(await anna.http.post("/auth/login", json=wrong)).status_code for _ in range(6)]
    assert codes == [401] * 5 + [429]
    limited = await anna.http.post("/auth/login", json={"username": anna.name, "password": anna.password})
    assert (limited.status_code, envelope(limited)["code"]) == (429, "rate_limited")
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    form = await anna.http.post("/auth/login", data={"username": anna.name, "password": anna.password})
    assert form.status_code == 429
    await boris.sign_in()


async def test_the_cookie_works_for_pages_and_not_for_other_sites(anna: Person) -> None:
    async with httpx.AsyncClient(base_url=anna.http.base_url) as browser:
        body = {"username": anna.name, "password": anna.password}
        answer = await browser.post("/auth/login", json=body)
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert (await browser.get("/auth/me")).status_code == 200
        forged = await browser.post("/conversations", json={}, headers={"Origin": "https://evil.example"})
        assert (forged.status_code, envelope(forged)["code"]) == (403, "forbidden")
        own = await browser.post("/conversations", json={}, headers={"X-Requested-With": "llama-service"})
        assert own.status_code == 201


async def test_sessions_can_be_seen_and_ended(anna: Person) -> None:
    first = anna.tokens["access_token"]
    await anna.sign_in()
    items = (await anna.get("/auth/sessions"))["items"]
    assert [item["current"] for item in items].count(True) == 1
    assert len(items) == 2
    other = next(item for item in items if not item["current"])
    assert (await anna.http.delete(f"/auth/sessions/{other['id']}")).status_code == 204
    answer = await anna.http.get("/auth/me", headers={"Authorization": f"Bearer {first}"})
    assert answer.status_code == 401


async def test_nobody_ends_the_session_of_somebody_else(anna: Person, boris: Person) -> None:
    session = (await anna.get("/auth/sessions"))["items"][0]["id"]
    assert (await boris.http.delete(f"/auth/sessions/{session}")).status_code == 404
    assert (await anna.http.get("/auth/me")).status_code == 200


async def test_forgotten_passwords_tell_nothing_and_the_link_works_once(server: Server, anna: Person) -> None:
    for address in (anna.email, "nobody@example.com"):
        assert (await anna.http.post("/auth/forgot-password", json={"email": address})).status_code == 202
    resources = server.app.state.resources
    async with resources.database.transaction() as session:
        user = await UserManager(session, resources.hasher).user_db.get_by_name(anna.name)
    assert user is not None
    body = {"token": resources.tokens.reset_token(user), "password": "a brand new passphrase"}
    assert (await anna.http.post("/auth/reset-password", json=body)).status_code == 202
    assert (await anna.http.get("/auth/me")).status_code == 401
    assert (await anna.http.post("/auth/reset-password", json=body)).status_code == 400
    anna.password = body["password"]
    await anna.sign_in()


async def test_an_address_is_confirmed_by_who_reads_its_mail_until_it_changes(server: Server, anna: Person) -> None:
    resources = server.app.state.resources

    async def token() -> str:
        async with resources.database.reading() as session:
            user = await UserManager(session, resources.hasher).user_db.get_by_name(anna.name)
        assert user is not None
        return str(resources.tokens.reset_token(user))

    async def reset(with_token: str, password: str) -> int:
        body = {"token": with_token, "password": password}
        return (await anna.http.post("/auth/reset-password", json=body)).status_code

    async def is_verified() -> bool:
        return bool((await anna.get("/auth/me"))["is_verified"])

    assert not await is_verified()
    # A letter to the old address is no proof of the new one, and opens nothing any more.
    old = await token()
    await anna.http.patch("/auth/me", json={"email": f"new-{anna.email}"})
    assert await reset(old, "a brand new passphrase") == 400
    anna.password = "another new passphrase"
    assert await reset(await token(), anna.password) == 202
    await anna.sign_in()
    assert await is_verified()
    await anna.http.patch("/auth/me", json={"email": f"NEW-{anna.email}"})
    assert await is_verified(), "the same address"
    await anna.http.patch("/auth/me", json={"email": f"other-{anna.email}"})
    assert not await is_verified()


async def test_only_administrators_administrate(anna: Person, boris: Person, join: Join, database: Database) -> None:
    for path in ("/stats/system", "/admin/users"):
        answer = await anna.http.get(path)
        assert (answer.status_code, envelope(answer)["code"]) == (403, "forbidden")
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", (anna.name,))
    users = await anna.get("/admin/users", q=boris.name)
    assert [user["username"] for user in users["items"]] == [boris.name]
    boris_id = users["items"][0]["id"]
    off = await anna.http.patch(f"/admin/users/{boris_id}", json={"is_active": False})
    assert off.json()["is_active"] is False
    assert (await boris.http.get("/auth/me")).status_code in (401, 403)
    signing_in = {"username": boris.name, "password": boris.password}
    assert (await boris.http.post("/auth/login", json=signing_in)).status_code == 403
    assert (await anna.get("/admin/errors"))["items"] is not None
    stats = await anna.get("/stats/system")
    assert stats["users"] >= 2


async def test_figures_are_true_right_after_a_file(anna: Person, database: Database) -> None:
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", (anna.name,))
    before = (await anna.get("/stats/system"))["index"]
    await anna.indexed("falcon.txt", b"The Falcon drill has a warranty of 37 months.")
    after = (await anna.get("/stats/system"))["index"]
    assert after["passages"] == before["passages"] + 1
    assert after["vectors"] == before["vectors"] + 1
    assert after["indexed"] == before["indexed"] + 1


async def test_deleting_an_account_leaves_nothing(anna: Person, database: Database) -> None:
    await anna.ask("Will you remember me?")
    user_id = (await anna.get("/auth/me"))["id"]
    wrong = await anna.http.request("DELETE", "/auth/me", json={"password": "wrong wrong"})
    assert wrong.status_code == 401
    gone = await anna.http.request("DELETE", "/auth/me", json={"password": anna.password})
    assert gone.status_code == 204
    for table in ("conversations", "files", "auth_sessions", "runs"):
        row = database.execute(f"SELECT count(*) FROM {table} WHERE user_id = %s", (user_id,)).fetchone()
        assert row == (0,)


async def test_guesses_side_by_side_are_counted_too(anna: Person) -> None:
    guesses = [{"username": (anna.name, anna.email)[n % 2], "password": f"guess number {n}"} for n in range(24)]
    answers = await asyncio.gather(*(anna.http.post("/auth/login", json=guess) for guess in guesses))
    codes = [answer.status_code for answer in answers]
    # Two hash at once, so one more than the limit may slip in.
    assert codes.count(401) <= 6, codes
    assert codes.count(429) >= 18


async def test_a_form_of_another_site_gets_no_cookie(anna: Person) -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    form = {"username": anna.name, "password": anna.password}
    answer = await anna.http.post("/auth/login", data=form, headers=headers)
    assert "set-cookie" not in answer.headers


async def test_a_stale_token_does_not_close_open_routes(anna: Person) -> None:
    await anna.http.post("/auth/logout")
    assert (await anna.http.get("/auth/me")).status_code == 401
    assert (await anna.http.get("/models/status")).status_code == 200
