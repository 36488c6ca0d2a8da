"""Sign-in through a provider: the way of a browser, the accounts it leads to, and answers that must not be believed."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import jwt
import pytest

from api.deps import COOKIE
from llama_service.settings import Settings, load_settings
from tests.conftest import Database, Join
from tests.integration.api.test_auth import envelope
from tests.providers import OidcServer
from tests.providers.oidc import SigningKey
from tests.support import Person, Server, serving

LOGIN, CALLBACK = "/api/v1/auth/oidc/company/login", "/api/v1/auth/oidc/company/callback"


@pytest.fixture(autouse=True)
def _behaves(company: OidcServer) -> None:
    company.reset()


@pytest.fixture
def member(company: OidcServer) -> str:
    """The name of somebody of the company who was never here."""
    name = f"m{uuid4().hex[:10]}"
    company.join(name)
    return name


class Browser:
    """A client that keeps cookies and follows redirects by hand, as far as a test wants."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, timeout=30)
        self.url = url

    async def to_provider(self, **query: str) -> str:
        """Begin to sign in; return the address of the provider's page."""
        answer = await self.http.get(LOGIN, params=query)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def at_provider(self, page: str, who: str) -> str:
        """Press somebody's button on the provider's page; return the address that leads back."""
        fields = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}
        answer = await self.http.post(page, data={**fields, "who": who})
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def back(self, address: str) -> str:
        """Come back; return where the answer leads, on this server."""
        answer = await self.http.get(address)
        assert answer.status_code == 302, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.headers["location"]

    async def sign_in(self, who: str, **query: str) -> str:
        return await self.back(await self.at_provider(await self.to_provider(**query), who))

    async def me(self) -> dict[str, Any] | None:
        answer = await self.http.get("/api/v1/auth/me")
        return answer.json() if answer.status_code == 200 else None

    async def sign_out(self) -> httpx.Response:
        return await self.http.post("/api/v1/auth/logout", headers={"X-Requested-With": "llama-service"})


Browsers = Callable[..., Browser]


@pytest.fixture
async def browse(server: Server) -> AsyncIterator[Browsers]:
    """Open a browser on the server, or on another one."""
    opened: list[Browser] = []

    def make(url: str = server.url) -> Browser:
        opened.append(Browser(url))
        return opened[-1]

    yield make
    for browser in opened:
        await browser.http.aclose()


def problem(where: str) -> str:
    found = re.fullmatch(r"/(?:sign-in|account)\?problem=(\w+)", where)
    assert found, where
    return found[1]


async def test_methods_tell_what_the_page_draws(server: Server) -> None:
    async with httpx.AsyncClient() as http:
        told = (await http.get(f"{server.url}/api/v1/auth/methods")).json()
    assert told == {
        "password": True,
        "registration": True,
        "oidc": [{"name": "company", "label": "Company account"}],
    }


async def test_a_first_sign_in_makes_an_account_and_the_next_one_finds_it(browse: Browsers, member: str) -> None:
    browser = browse()
    assert await browser.sign_in(member, to="/files?open=1") == "/files?open=1"
    account = await browser.me()
    assert account is not None
    assert (account["username"], account["email"]) == (member, f"{member}@company.example")
    assert account["is_superuser"] is False
    assert (await browser.http.get("/api/v1/auth/sign-in")).json()["has_password"] is False
    other = browse()
    assert await other.sign_in(member) == "/"
    again = await other.me()
    assert again is not None
    assert again["id"] == account["id"]


async def test_the_request_has_pkce_state_and_nonce(browse: Browsers, company: OidcServer) -> None:
    first, second = [parse_qs(urlsplit(await browse().to_provider()).query) for _ in range(2)]
    assert first["code_challenge_method"] == ["S256"]
    assert first["redirect_uri"][0].endswith(CALLBACK)
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name][0]) >= 43
        assert first[name] != second[name]


async def test_the_session_cookie_is_as_after_a_password(browse: Browsers, member: str) -> None:
    browser = browse()
    answer = await browser.http.get(await browser.at_provider(await browser.to_provider(), member))
    (cookie,) = [value for value in answer.headers.get_list("set-cookie") if value.startswith(f"{COOKIE}=")]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nSet-Cookie: x=1"]
)
async def test_nobody_is_led_elsewhere(browse: Browsers, member: str, to: str) -> None:
    assert await browse().sign_in(member, to=to) == "/"


async def test_whoever_cancels_is_told_so(browse: Browsers, member: str) -> None:
    browser = browse()
    assert problem(await browser.sign_in("")) == "sign_in_denied"
    assert await browser.me() is None


async def test_a_code_is_good_once(browse: Browsers, member: str) -> None:
    browser = browse()
    address = await browser.at_provider(await browser.to_provider(), member)
    cookies = dict(browser.http.cookies)
    assert await browser.back(address) == "/"
    # Somebody who has the whole request, the cookie of the attempt too.
    thief = browse()
    thief.http.cookies.update(cookies)
    assert problem(await thief.back(address)) == "sign_in_failed"
    assert await thief.me() is None


async def test_an_answer_is_good_in_the_browser_that_asked_for_it_alone(browse: Browsers, member: str) -> None:
    """Somebody else's answer, sent as a link, must not sign a visitor in to a foreign account."""
    attacker, victim = browse(), browse()
    address = await attacker.at_provider(await attacker.to_provider(), member)
    await victim.to_provider()
    assert problem(await victim.back(address)) == "sign_in_failed"
    assert await victim.me() is None


@pytest.mark.parametrize("change", ["state", "iss", "no_iss", "code"])
async def test_a_changed_answer_is_refused(browse: Browsers, member: str, change: str) -> None:
    browser = browse()
    address = await browser.at_provider(await browser.to_provider(), member)
    changed = {
        "state": re.sub(r"state=[^&]+", "state=another", address),
        "iss": re.sub(r"iss=[^&]+", "iss=https%3A%2F%2Fevil.example", address),
        "no_iss": re.sub(r"iss=[^&]+&?", "", address),
        "code": re.sub(r"\bcode=[^&]+", "code=guessed", address),
    }[change]
    assert changed != address
    assert problem(await browser.back(changed)) == "sign_in_failed"
    assert await browser.me() is None


async def test_two_tabs_may_sign_in_at_once(browse: Browsers, member: str) -> None:
    browser = browse()
    first, second = await browser.to_provider(to="/files"), await browser.to_provider(to="/account")
    assert await browser.back(await browser.at_provider(second, member)) == "/account"
    assert await browser.back(await browser.at_provider(first, member)) == "/files"


def _none(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, "", "none")


def _shared_secret(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, OidcServer.client_secret, "HS256")


def _unknown_key(claims: dict[str, Any]) -> str:
    key = SigningKey("nobody-published-this")
    return jwt.encode(claims, key.private, "RS256", {"kid": key.kid})


@pytest.mark.parametrize("sign", [_none, _shared_secret, _unknown_key, lambda claims: "no.token.atall"])
async def test_a_token_that_the_provider_did_not_sign_is_refused(
    browse: Browsers, company: OidcServer, member: str, sign: Callable[[dict[str, Any]], str]
) -> None:
    company.sign = sign
    browser = browse()
    assert problem(await browser.sign_in(member)) == "sign_in_failed"
    assert await browser.me() is None


async def test_a_token_of_a_key_of_the_same_name_is_refused(browse: Browsers, company: OidcServer, member: str) -> None:
    company.sign = lambda claims: company.signed(claims, SigningKey(company.key.kid))
    assert problem(await browse().sign_in(member)) == "sign_in_failed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://evil.example/realms/company"},
        {"aud": "another-client"},
        {"aud": ["llama-service", "another-client"]},
        {"azp": "another-client"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": timedelta(minutes=-2)},
        {"iat": timedelta(minutes=10)},
        {"sub": None},
        {"exp": None},
    ],
)
async def test_a_token_for_something_else_is_refused(
    browse: Browsers, company: OidcServer, member: str, wrong: dict[str, Any]
) -> None:
    def spoil(claims: dict[str, Any]) -> None:
        # From the moment of the sign-in: the tests were collected long before.
        now = datetime.now(UTC)
        times = {name: (now + value).timestamp() for name, value in wrong.items() if isinstance(value, timedelta)}
        claims.update(wrong | {name: int(value) for name, value in times.items()})
        for name in [name for name, value in wrong.items() if value is None]:
            del claims[name]

    company.spoil = spoil
    browser = browse()
    assert problem(await browser.sign_in(member)) == "sign_in_failed"
    assert await browser.me() is None


@pytest.mark.parametrize("seconds", [-40, 40])
async def test_clocks_may_differ_by_some_seconds(
    browse: Browsers, company: OidcServer, member: str, seconds: int
) -> None:
    def spoil(claims: dict[str, Any]) -> None:
        claims["iat"] += seconds
        claims["exp"] = int(time.time()) + min(seconds, 0) + 1

    company.spoil = spoil
    assert await browse().sign_in(member) == "/"


async def test_new_keys_are_found_without_a_restart(browse: Browsers, company: OidcServer, member: str) -> None:
    assert await browse().sign_in(member) == "/"
    await asyncio.sleep(1.1)  # the provider's keys are asked for once a second at most
    company.rotate()
    assert await browse().sign_in(member) == "/"


@pytest.mark.parametrize(
    ("status", "told"),
    [(500, {"error": "server_error"}), (200, "<html>Sign in to the hotel's network</html>"), (200, {"token": "?"})],
)
async def test_a_provider_in_trouble_is_no_refusal(
    browse: Browsers, company: OidcServer, member: str, status: int, told: Any
) -> None:
    company.token_error = (status, told)
    assert problem(await browse().sign_in(member)) == "dependency_unavailable"


async def test_a_provider_that_is_away_is_said_by_the_page(strict: Server) -> None:
    async with httpx.AsyncClient(base_url=strict.url) as http:
        answer = await http.get("/api/v1/auth/oidc/away/login")
        assert problem(answer.headers["location"]) == "dependency_unavailable"
        assert (await http.post("/api/v1/auth/oidc/away/logout", data={"logout_token": "x"})).status_code == 503


async def test_an_unknown_provider_is_not_found(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        for path in ("login", "callback"):
            answer = await http.get(f"/api/v1/auth/oidc/nobody/{path}")
            assert (answer.status_code, envelope(answer)["code"]) == (404, "not_found")


async def test_first_sign_ins_side_by_side_make_one_account(browse: Browsers, member: str, database: Database) -> None:
    browsers = [browse() for _ in range(5)]
    assert await asyncio.gather(*(browser.sign_in(member) for browser in browsers)) == ["/"] * 5
    accounts = {(await browser.me() or {})["id"] for browser in browsers}
    assert len(accounts) == 1
    count = database.execute("SELECT count(*) FROM users WHERE email = %s", [f"{member}@company.example"]).fetchone()
    assert count == (1,)


async def test_a_taken_name_gets_a_number(browse: Browsers, company: OidcServer, anna: Person) -> None:
    company.members["namesake"] = company.join(anna.name, email=f"{uuid4().hex}@company.example")
    browser = browse()
    assert await browser.sign_in("namesake") == "/"
    account = await browser.me()
    assert account is not None
    assert account["username"] == f"{anna.name}2"


async def test_names_that_are_none_here_are_made_fit(browse: Browsers, company: OidcServer) -> None:
    part = uuid4().hex[:8]
    company.members["odd"] = company.join(f"Ännä {part}/ö@x", email=None)
    browser = browse()
    assert await browser.sign_in("odd") == "/"
    account = await browser.me()
    assert account is not None
    assert account["username"] == f"Ännä.{part}.ö.x"
    assert account["email"].endswith("@company.invalid")


# --- an address that is taken


async def test_an_account_of_the_same_address_is_not_taken_over(
    browse: Browsers, company: OidcServer, anna: Person
) -> None:
    company.join("same-address", email=anna.email.upper())
    browser = browse()
    assert problem(await browser.sign_in("same-address")) == "account_exists"
    assert await browser.me() is None


async def test_the_owner_adds_the_identity_and_takes_it_away(
    browse: Browsers, company: OidcServer, anna: Person, database: Database
) -> None:
    who = f"w{uuid4().hex[:8]}"
    company.join(who, email=anna.email)
    browser = browse()
    await browser.http.post("/api/v1/auth/login", json={"username": anna.name, "password": anna.password})
    assert await browser.sign_in(who, link="true", to="/account") == "/account"
    other = browse()
    assert await other.sign_in(who) == "/"
    account = await other.me()
    assert account is not None
    assert account["username"] == anna.name
    (identity,) = (await anna.get("/auth/sign-in"))["identities"]
    assert (identity["provider"], identity["label"], identity["email"]) == ("company", "Company account", anna.email)
    assert (await anna.http.delete(f"/auth/identities/{identity['id']}")).status_code == 204
    assert problem(await browse().sign_in(who)) == "account_exists"


async def test_only_the_signed_in_account_can_be_linked_by_its_own_page(
    browse: Browsers, anna: Person, boris: Person, member: str
) -> None:
    browser = browse()
    assert (await browser.http.get(LOGIN, params={"link": "true"})).status_code == 401
    await browser.http.post("/api/v1/auth/login", json={"username": anna.name, "password": anna.password})
    foreign = await browser.http.get(LOGIN, params={"link": "true"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    # Somebody else signs in to this browser before the answer comes.
    address = await browser.at_provider(await browser.to_provider(link="true"), member)
    await browser.http.post("/api/v1/auth/login", json={"username": boris.name, "password": boris.password})
    assert problem(await browser.back(address)) == "sign_in_failed"
    for person in (anna, boris):
        assert (await person.get("/auth/sign-in"))["identities"] == []


async def test_an_identity_belongs_to_one_account(browse: Browsers, anna: Person, member: str) -> None:
    assert await browse().sign_in(member) == "/"
    browser = browse()
    await browser.http.post("/api/v1/auth/login", json={"username": anna.name, "password": anna.password})
    assert await browser.sign_in(member, link="true") == "/account?problem=account_exists"


async def test_the_last_way_in_stays(browse: Browsers, member: str) -> None:
    browser = browse()
    await browser.sign_in(member)
    (identity,) = (await browser.http.get("/api/v1/auth/sign-in")).json()["identities"]
    guard = {"X-Requested-With": "llama-service"}
    answer = await browser.http.delete(f"/api/v1/auth/identities/{identity['id']}", headers=guard)
    assert (answer.status_code, envelope(answer)["code"]) == (409, "conflict")


# --- the operator's rules


@pytest.fixture
async def strict(settings: Settings, company: OidcServer) -> AsyncIterator[Server]:
    """A server without passwords, with roles that rule, which links accounts by checked addresses."""
    rules = company.settings(
        roles_claim="realm_access.roles,groups",
        required_roles="staff,/it",
        admin_roles="chat-admin",
        link_by_email=True,
    )
    made = load_settings(
        _env_file=None,
        **settings.model_dump(exclude={"oidc", "password_sign_in", "inline_worker"}, exclude_unset=True),
        oidc={"company": rules, "away": company.settings(issuer="http://127.0.0.1:9/realms/away")},
        password_sign_in=False,
        inline_worker=False,
    )
    async with serving(made) as running:
        yield running


async def test_roles_and_groups_rule(browse: Browsers, company: OidcServer, strict: Server) -> None:
    names = [f"r{uuid4().hex[:8]}" for _ in range(4)]
    company.join(names[0])
    company.join(names[1], groups=["/it"])
    company.join(names[2], realm_access={"roles": ["staff", "chat-admin"]})
    company.join(names[3], realm_access=["staff"], groups={"/it": True})
    assert problem(await browse(strict.url).sign_in(names[0])) == "sign_in_denied"
    assert problem(await browse(strict.url).sign_in(names[3])) == "sign_in_denied"
    member, admin = browse(strict.url), browse(strict.url)
    assert await member.sign_in(names[1]) == await admin.sign_in(names[2]) == "/"
    assert (await member.http.get("/api/v1/admin/users")).status_code == 403
    assert (await admin.http.get("/api/v1/admin/users")).status_code == 200
    # What the company takes away is gone with the next sign-in, in the sessions from before too.
    company.join(names[2], realm_access={"roles": ["staff"]})
    await browse(strict.url).sign_in(names[2])
    assert (await admin.http.get("/api/v1/admin/users")).status_code == 403


async def test_a_provider_rules_who_is_in_a_group(
    browse: Browsers, company: OidcServer, strict: Server, database: Database
) -> None:
    """With each sign-in: in by its word, out without it; whom a manager has put in stays."""
    who = f"r{uuid4().hex[:8]}"
    company.join(who, groups=["/it", "/it/ops"])
    ops, own = ([uuid4(), f"{name} {who}"] for name in ("Ops", "Own"))
    database.execute("INSERT INTO groups (id, name, provider, claim) VALUES (%s, %s, 'company', '/it/ops')", ops)
    database.execute("INSERT INTO groups (id, name) VALUES (%s, %s)", own)

    async def groups() -> dict[str, str | None]:
        person = browse(strict.url)
        assert await person.sign_in(who) == "/"
        listed = (await person.http.get("/api/v1/groups")).json()["items"]
        return {group["name"]: group["role"] for group in listed if group["name"] in (ops[1], own[1])}

    assert await groups() == {ops[1]: "member", own[1]: None}
    joined = "INSERT INTO group_members (group_id, user_id) SELECT %s, id FROM users WHERE username = %s"
    database.execute(joined, (own[0], who))
    company.join(who, groups=["/it"])
    assert await groups() == {ops[1]: None, own[1]: "member"}
    noted = "SELECT action FROM audit_events WHERE object_id = %s ORDER BY id"
    assert database.execute(noted, (str(ops[0]),)).fetchall() == [("group_member_set",), ("group_member_removed",)]


async def test_passwords_can_be_switched_off(anna: Person, strict: Server) -> None:
    async with httpx.AsyncClient(base_url=f"{strict.url}/api/v1") as http:
        bodies = {
            "login": {"username": anna.name, "password": anna.password},
            "register": {"username": "somebody", "email": "some@example.com", "password": "a long passphrase"},
            "forgot-password": {"email": anna.email},
            "reset-password": {"token": "x", "password": "a long passphrase"},
        }
        for path, body in bodies.items():
            answer = await http.post(f"/auth/{path}", json=body)
            assert (answer.status_code, envelope(answer)["code"]) == (403, "forbidden"), path
        told = (await http.get("/auth/methods")).json()
        assert (told["password"], told["registration"]) == (False, False)
        change = {"current_password": anna.password, "new_password": "another passphrase"}
        bearer = {"Authorization": anna.http.headers["Authorization"]}
        assert (await http.post("/auth/change-password", json=change, headers=bearer)).status_code == 403


@pytest.mark.parametrize(
    ("verified", "here"), [(True, True), (False, True), ("true", True), (None, True), (True, False)]
)
async def test_only_an_address_that_both_have_checked_links(
    browse: Browsers, company: OidcServer, join: Join, strict: Server, database: Database, verified: object, here: bool
) -> None:
    """Anybody may have typed a colleague's address, and would read what that one writes after the first sign-in."""
    owner = await join()
    database.execute("UPDATE users SET is_verified = %s WHERE username = %s", (here, owner.name))
    who = f"l{uuid4().hex[:8]}"
    company.join(who, email=owner.email, email_verified=verified, groups=["/it"])
    browser = browse(strict.url)
    where = await browser.sign_in(who)
    if verified is True and here:
        account = await browser.me()
        assert account is not None
        assert (where, account["username"]) == ("/", owner.name)
    else:
        assert problem(where) == "account_exists"


async def test_an_account_that_is_switched_off_stays_out(browse: Browsers, member: str, database: Database) -> None:
    await browse().sign_in(member)
    database.execute("UPDATE users SET is_active = false WHERE username = %s", [member])
    browser = browse()
    assert problem(await browser.sign_in(member)) == "sign_in_denied"
    assert await browser.me() is None


# --- signing out


def kept_tokens(database: Database, who: str) -> int:
    query = "SELECT count(*) FROM provider_sessions p JOIN users u ON u.id = p.user_id WHERE u.username = %s"
    row = database.execute(query, [who]).fetchone()
    assert row is not None
    return int(row[0])


async def test_signing_out_ends_the_providers_session_too(
    browse: Browsers, company: OidcServer, member: str, database: Database
) -> None:
    browser = browse()
    await browser.sign_in(member)
    sealed = database.execute(
        "SELECT p.tokens FROM provider_sessions p JOIN users u ON u.id = p.user_id WHERE u.username = %s", [member]
    ).fetchone()
    assert sealed is not None
    assert b"access-" not in sealed[0]
    answer = await browser.sign_out()
    assert answer.status_code == 200
    assert await browser.me() is None
    assert kept_tokens(database, member) == 0
    address = answer.json()["end_session_url"]
    assert address.startswith(f"{company.issuer}/protocol/openid-connect/logout?")
    led = await browser.http.get(address)
    assert led.headers["location"] == f"{browser.url}/sign-in"
    assert company.end_sessions(member) == []


async def test_a_password_session_signs_out_as_before(anna: Person) -> None:
    answer = await anna.http.post("/auth/logout")
    assert (answer.status_code, answer.content) == (204, b"")


async def test_the_provider_ends_our_sessions(
    browse: Browsers, company: OidcServer, member: str, database: Database
) -> None:
    first, second = browse(), browse()
    await first.sign_in(member)
    await second.sign_in(member)
    subject = company.members[member].subject
    sids = company.end_sessions(member)
    async with httpx.AsyncClient(base_url=f"{first.url}/api/v1/auth/oidc/company") as http:
        told = await http.post("/logout", data={"logout_token": company.logout_token(sid=sids[0], sub=subject)})
        assert (told.status_code, told.json()) == (200, {"sessions": 1})
        assert [await first.me() is None, await second.me() is None] == [True, False]
        told = await http.post("/logout", data={"logout_token": company.logout_token(sub=subject)})
        assert told.json() == {"sessions": 1}
    assert await second.me() is None
    assert kept_tokens(database, member) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"events": {}},
        {"events": None},
        {"nonce": "x"},
        {"iss": "https://evil.example"},
        {"aud": "another-client"},
        {"sub": None},
        {"iat": int(time.time()) - 7200},
        {"key": SigningKey("key-of-nobody")},
    ],
)
async def test_a_logout_token_that_is_none_ends_nothing(
    browse: Browsers, company: OidcServer, member: str, wrong: dict[str, Any]
) -> None:
    browser = browse()
    await browser.sign_in(member)
    token = company.logout_token(**({"sub": company.members[member].subject} | wrong))
    answer = await browser.http.post("/api/v1/auth/oidc/company/logout", data={"logout_token": token})
    assert (answer.status_code, envelope(answer)["code"]) == (400, "bad_request")
    assert await browser.me() is not None


async def test_an_account_without_a_password_is_deleted_after_a_fresh_sign_in(
    browse: Browsers, member: str, database: Database
) -> None:
    browser = browse()
    await browser.sign_in(member)
    guard = {"X-Requested-With": "llama-service"}
    database.execute(
        "UPDATE auth_sessions SET created_at = created_at - interval '1 hour'"
        " WHERE user_id = (SELECT id FROM users WHERE username = %s)",
        [member],
    )

    async def delete() -> int:
        answer = await browser.http.request("DELETE", "/api/v1/auth/me", json={"password": ""}, headers=guard)
        return answer.status_code

    assert await delete() == 403
    await browser.sign_in(member)
    assert await delete() == 204
    assert await browser.me() is None


async def test_nobody_guesses_a_password_that_is_not_there(browse: Browsers, member: str, server: Server) -> None:
    await browse().sign_in(member)
    async with httpx.AsyncClient(base_url=server.url) as http:
        for password in ("x", " ", "None"):
            body = {"username": member, "password": password}
            answer = await http.post("/api/v1/auth/login", json=body)
            assert (answer.status_code, envelope(answer)["code"]) == (401, "invalid_credentials")


async def test_nobody_removes_the_identity_of_another(browse: Browsers, member: str, anna: Person) -> None:
    browser = browse()
    await browser.sign_in(member)
    (identity,) = (await browser.http.get("/api/v1/auth/sign-in")).json()["identities"]
    assert (await anna.http.delete(f"/auth/identities/{identity['id']}")).status_code == 404
    assert len((await browser.http.get("/api/v1/auth/sign-in")).json()["identities"]) == 1
