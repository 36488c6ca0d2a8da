"""Two-factor sign-in: an authenticator app, recovery codes, and administrators who have to have one."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest

from llama_service.settings import Settings, load_settings
from tests.conftest import Database
from tests.integration.api.test_auth import envelope
from tests.support import Person, Server, serving


class App:
    """Somebody's authenticator app. Codes are good once, so it can be asked for those of other moments."""

    def __init__(self, secret: str) -> None:
        self._totp = pyotp.TOTP(secret)

    def code(self, steps: int = 0) -> str:
        return self._totp.at(for_time=int(time.time()), counter_offset=steps)


async def switch_on(person: Person) -> tuple[App, list[str]]:
    """Set an app up as the page does; return it, and the recovery codes."""
    begun = await person.http.post("/auth/two-factor", json={"password": person.password})
    assert begun.status_code == 200, begun.text
    told = begun.json()
    assert parse_qs(urlsplit(told["uri"]).query)["secret"] == [told["secret"]]
    assert told["qr_svg"].startswith("<svg")
    app = App(told["secret"])
    done = await person.http.post("/auth/two-factor/confirm", json={"code": app.code(-1)})
    assert done.status_code == 200, done.text
    return app, done.json()["recovery_codes"]


async def sign_in(person: Person, code: str | None = None, password: str | None = None) -> tuple[int, str | None]:
    """Sign in anew; return the status, and the error's code."""
    body = {"username": person.name, "password": password or person.password, "code": code}
    answer = await person.http.post("/auth/login", json=body)
    return answer.status_code, None if answer.status_code == 200 else envelope(answer)["code"]


async def test_a_password_alone_is_not_enough_any_more(anna: Person) -> None:
    app, _ = await switch_on(anna)
    assert (await anna.get("/auth/sign-in"))["two_factor"] is True
    assert await sign_in(anna) == (401, "code_required")
    assert await sign_in(anna, "000000") == (401, "invalid_credentials")
    # Who does not know the password does not learn that there is a second factor.
    assert await sign_in(anna, password="a wrong passphrase") == (401, "invalid_credentials")
    code = app.code()
    assert await sign_in(anna, f"{code[:3]} {code[3:]}") == (200, None)


async def test_a_code_is_good_once_and_older_ones_not_behind_it(anna: Person) -> None:
    app, _ = await switch_on(anna)
    now, before = app.code(), app.code(-1)
    assert await sign_in(anna, now) == (200, None)
    assert await sign_in(anna, now) == (401, "invalid_credentials")
    assert await sign_in(anna, before) == (401, "invalid_credentials")
    assert await sign_in(anna, app.code(1)) == (200, None)


async def test_one_code_side_by_side_lets_one_in(anna: Person) -> None:
    app, _ = await switch_on(anna)
    code = app.code()
    found = await asyncio.gather(*(sign_in(anna, code) for _ in range(3)))
    assert sorted(status for status, _ in found) == [200, 401, 401]


@pytest.mark.parametrize("steps", [-3, 3])
async def test_codes_of_other_times_are_no_good(anna: Person, steps: int) -> None:
    app, _ = await switch_on(anna)
    assert await sign_in(anna, app.code(steps)) == (401, "invalid_credentials")


async def test_guesses_at_codes_are_counted(anna: Person) -> None:
    await switch_on(anna)
    found = [await sign_in(anna, f"{number:06}") for number in range(6)]
    assert found[-1] == (429, "rate_limited")


async def test_a_recovery_code_stands_for_the_app_once(anna: Person) -> None:
    _, codes = await switch_on(anna)
    assert len(set(codes)) == 10
    assert await sign_in(anna, codes[3].upper().replace("-", " ")) == (200, None)
    assert await sign_in(anna, codes[3]) == (401, "invalid_credentials")
    assert await sign_in(anna, codes[4]) == (200, None)
    renewed = await anna.http.post("/auth/two-factor/recovery-codes", json={"password": anna.password})
    assert await sign_in(anna, codes[5]) == (401, "invalid_credentials")
    assert await sign_in(anna, renewed.json()["recovery_codes"][0]) == (200, None)


async def test_it_is_off_until_a_code_has_proven_the_app(anna: Person) -> None:
    begun = await anna.http.post("/auth/two-factor", json={"password": anna.password})
    assert await sign_in(anna) == (200, None)
    wrong = await anna.http.post("/auth/two-factor/confirm", json={"code": "123456"})
    assert (wrong.status_code, envelope(wrong)["code"]) == (401, "invalid_credentials")
    assert (await anna.get("/auth/sign-in"))["two_factor"] is False
    # Beginning anew replaces the secret that was never proven.
    again = await anna.http.post("/auth/two-factor", json={"password": anna.password})
    assert again.json()["secret"] != begun.json()["secret"]


async def test_changing_it_takes_the_password(anna: Person) -> None:
    wrong: dict[str, Any] = {"password": "a wrong passphrase", "code": "x"}
    for path in ("", "/recovery-codes", "/off"):
        answer = await anna.http.post(f"/auth/two-factor{path}", json=wrong)
        assert (answer.status_code, envelope(answer)["code"]) == (401, "invalid_credentials"), path
    app, codes = await switch_on(anna)
    again = await anna.http.post("/auth/two-factor", json={"password": anna.password})
    assert (again.status_code, envelope(again)["code"]) == (409, "conflict")
    off = {"password": anna.password, "code": "000000"}
    assert (await anna.http.post("/auth/two-factor/off", json=off)).status_code == 401
    off["code"] = codes[0]
    assert (await anna.http.post("/auth/two-factor/off", json=off)).status_code == 204
    assert await sign_in(anna) == (200, None)
    assert await sign_in(anna, app.code()) == (200, None)


async def test_the_secret_is_kept_encrypted(anna: Person, database: Database) -> None:
    begun = (await anna.http.post("/auth/two-factor", json={"password": anna.password})).json()
    row = database.execute(
        "SELECT secret FROM second_factors WHERE user_id = (SELECT id FROM users WHERE username = %s)", [anna.name]
    ).fetchone()
    assert row is not None
    assert begun["secret"].encode() not in row[0]


async def test_an_administrator_lets_somebody_in_who_lost_everything(
    anna: Person, boris: Person, database: Database
) -> None:
    await switch_on(anna)
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", [boris.name])
    (user,) = (await boris.get("/admin/users", q=anna.name))["items"]
    answer = await boris.http.patch(f"/admin/users/{user['id']}", json={"two_factor": False})
    assert answer.status_code == 200
    assert (await anna.http.get("/auth/me")).status_code == 401
    assert await sign_in(anna) == (200, None)
    refused = await boris.http.patch(f"/admin/users/{user['id']}", json={"two_factor": True})
    assert refused.status_code == 422


@pytest.fixture
async def guarded(settings: Settings) -> AsyncIterator[Server]:
    """A server whose administrators need a second factor."""
    given = settings.model_dump(exclude={"admin_two_factor", "inline_worker"}, exclude_unset=True)
    made = load_settings(_env_file=None, **given, admin_two_factor=True, inline_worker=False)
    async with serving(made) as running:
        yield running


async def test_administrators_may_have_to_have_one(guarded: Server, anna: Person, database: Database) -> None:
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", [anna.name])
    admin = await Person.enter(guarded.url, anna.name, anna.password)
    assert (await admin.get("/auth/sign-in"))["second_factor_required"] is True
    for path in ("/admin/users", "/admin/errors", "/stats/system", "/admin/mcp-servers"):
        refused = await admin.http.get(path)
        assert (refused.status_code, envelope(refused)["code"]) == (403, "second_factor_required"), path
    # What is no administration goes on.
    assert (await admin.http.get("/conversations")).status_code == 200
    await switch_on(admin)
    assert (await admin.http.get("/admin/users")).status_code == 200
    assert (await admin.get("/auth/sign-in"))["second_factor_required"] is False
    await admin.close()


async def test_the_form_of_swagger_takes_a_code_too(server: Server, anna: Person) -> None:
    app, _ = await switch_on(anna)
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1") as http:
        form = {"username": anna.name, "password": anna.password}
        refused = await http.post("/auth/login", data=form)
        assert (refused.status_code, envelope(refused)["code"]) == (401, "code_required")
        assert (await http.post("/auth/login", data=form | {"code": app.code()})).status_code == 200
