"""A little OpenID provider, shaped as a realm of Keycloak. It signs for real, rotates keys, misbehaves on demand.

Its sign-in page has a button for each of its people, so that a browser can go through it.
"""

import base64
import hashlib
import html
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

BACKCHANNEL = "http://schemas.openid.net/event/backchannel-logout"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass(slots=True)
class Member:
    """Somebody of the company; `claims` are in the ID token as they are."""

    subject: str
    claims: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Grant:
    member: Member
    sid: str
    nonce: str | None
    challenge: str | None
    redirect_uri: str


class SigningKey:
    """An RSA key with its public form."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def public(self) -> dict[str, Any]:
        """Return the JWK."""
        told: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return told | {"kid": self.kid, "use": "sig", "alg": "RS256"}


class OidcServer:
    """The provider. `async with` starts and stops it.

    `members` may sign in by their names. `spoil` changes an ID token's claims before it is signed, `sign` signs it in
    another way; `token_error` is what the token endpoint says in place of tokens.
    """

    client_id = "llama-service"
    client_secret = "the-secret-of-a-company-and-its-client"

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.key = SigningKey("key-1")
        self.requests: list[tuple[str, Mapping[str, str]]] = []
        self.access_lifetime = 300
        self.tells_issuer = True
        self.ends_sessions = True
        self.redirects: set[str] = set()
        self.reset()
        self._codes: dict[str, _Grant] = {}
        self._refresh: dict[str, _Grant] = {}
        self._access: dict[str, tuple[Member, float]] = {}
        self._spent: set[str] = set()
        self._sessions: dict[str, Member] = {}
        self._runner: web.AppRunner | None = None
        self._port = 0

    def reset(self) -> None:
        """Bring the good days back."""
        self.spoil: Callable[[dict[str, Any]], None] = lambda claims: None
        self.sign: Callable[[dict[str, Any]], str] | None = None
        self.token_error: tuple[int, Any] | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        realm = "/realms/company"
        wire = f"{realm}/protocol/openid-connect"
        app.add_routes(
            [
                web.get(f"{realm}/.well-known/openid-configuration", self._discovery),
                web.get(f"{wire}/certs", self._certs),
                web.get(f"{wire}/auth", self._sign_in_page),
                web.post(f"{wire}/auth", self._sign_in),
                web.post(f"{wire}/token", self._token),
                web.get(f"{wire}/logout", self._logout),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def issuer(self) -> str:
        """What the setting takes."""
        return f"{self.origin}/realms/company"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings of a provider, as `OIDC__<name>__…` has them."""
        told = {"issuer": self.issuer, "client_id": self.client_id, "client_secret": self.client_secret}
        return told | {"label": "Company account"} | more

    def join(self, name: str, **claims: Any) -> Member:
        """Add somebody who can sign in by this name."""
        told = {"preferred_username": name, "email": f"{name}@company.example", "email_verified": True}
        self.members[name] = Member(f"subject-of-{name}", told | claims)
        return self.members[name]

    def rotate(self) -> None:
        """Sign with a new key; the old one is no longer published."""
        self.key = SigningKey(f"key-{secrets.token_hex(4)}")

    def whose(self, access_token: str) -> str | None:
        """Return whose access token this is, None for one that is not good (any more)."""
        member, until = self._access.get(access_token, (None, 0.0))
        return str(member.claims["preferred_username"]) if member and time.time() < until else None

    def end_sessions(self, name: str) -> list[str]:
        """End somebody's sessions here; return their ids."""
        member = self.members[name]
        ended = [sid for sid, owner in self._sessions.items() if owner is member]
        for sid in ended:
            del self._sessions[sid]
        return ended

    def signed(self, claims: dict[str, Any], key: SigningKey | None = None) -> str:
        """Return claims signed by the current key, or another one."""
        used = key or self.key
        return jwt.encode(claims, used.private, "RS256", {"kid": used.kid})

    def logout_token(self, *, key: SigningKey | None = None, **claims: Any) -> str:
        """Return a token of back-channel logout; a claim of None is left out."""
        told = {
            "iss": self.issuer,
            "aud": self.client_id,
            "iat": int(time.time()),
            "jti": secrets.token_hex(8),
            "events": {BACKCHANNEL: {}},
        } | claims
        return self.signed({name: value for name, value in told.items() if value is not None}, key)

    async def _discovery(self, request: web.Request) -> web.Response:
        wire = f"{self.issuer}/protocol/openid-connect"
        told = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{wire}/auth",
            "token_endpoint": f"{wire}/token",
            "jwks_uri": f"{wire}/certs",
            "id_token_signing_alg_values_supported": ["RS256", "none"],
            "authorization_response_iss_parameter_supported": self.tells_issuer,
        }
        return web.json_response(told | ({"end_session_endpoint": f"{wire}/logout"} if self.ends_sessions else {}))

    async def _certs(self, request: web.Request) -> web.Response:
        encryption = SigningKey("for-encryption").public() | {"use": "enc", "alg": "RSA-OAEP"}
        return web.json_response({"keys": [encryption, self.key.public()]})

    async def _sign_in_page(self, request: web.Request) -> web.Response:
        query = request.query
        if query.get("client_id") != self.client_id or query.get("response_type") != "code":
            return web.Response(status=400, text="unknown client")
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in query.items()
        )
        buttons = "".join(f'<button name="who" value="{name}">{name}</button>' for name in self.members)
        page = (
            f'<form method="post"><h1>Company</h1>{hidden}{buttons}<button name="who" value="">Cancel</button></form>'
        )
        return web.Response(text=page, content_type="text/html")

    async def _sign_in(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        back: dict[str, str] = {"state": form["state"]}
        if self.tells_issuer:
            back["iss"] = self.issuer
        if form["who"] == "":
            back["error"] = "access_denied"
        else:
            member = self.members[form["who"]]
            code, sid = secrets.token_urlsafe(24), secrets.token_hex(8)
            self._sessions[sid] = member
            self._codes[code] = _Grant(member, sid, form.get("nonce"), form.get("code_challenge"), form["redirect_uri"])
            back["code"] = code
            back["session_state"] = sid
        return _redirect(f"{form['redirect_uri']}?{urlencode(back)}")

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append((form.get("grant_type", ""), form))
        basic = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {basic}":
            return web.json_response({"error": "invalid_client"}, status=401)
        if self.token_error is not None:
            status, told = self.token_error
            return (
                web.json_response(told, status=status)
                if isinstance(told, dict)
                else web.Response(text=str(told), status=status, content_type="text/html")
            )
        if form["grant_type"] == "authorization_code":
            grant = self._codes.pop(form["code"], None)
            if grant is None or not self._fits(grant, form):
                return web.json_response({"error": "invalid_grant"}, status=400)
        else:
            token = form["refresh_token"]
            grant = self._refresh.pop(token, None)
            if grant is None or grant.sid not in self._sessions:
                return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response(self._tokens(grant))

    @staticmethod
    def _fits(grant: _Grant, form: Mapping[str, str]) -> bool:
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return grant.challenge == challenge and grant.redirect_uri == form["redirect_uri"]

    def _tokens(self, grant: _Grant) -> dict[str, Any]:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.client_id,
            "sub": grant.member.subject,
            "iat": now,
            "exp": now + 300,
            "sid": grant.sid,
            "nonce": grant.nonce,
        } | grant.member.claims
        self.spoil(claims)
        access, refresh = f"access-{secrets.token_urlsafe(16)}", f"refresh-{secrets.token_urlsafe(16)}"
        self._access[access] = (grant.member, time.time() + self.access_lifetime)
        self._refresh[refresh] = grant
        return {
            "access_token": access,
            "refresh_token": refresh,
            "expires_in": self.access_lifetime,
            "token_type": "Bearer",
            "id_token": self.sign(claims) if self.sign else self.signed(claims),
        }

    async def _logout(self, request: web.Request) -> web.Response:
        hint = request.query.get("id_token_hint", "")
        told = jwt.decode(hint, options={"verify_signature": False}) if hint else {}
        self._sessions.pop(str(told.get("sid")), None)
        self.requests.append(("logout", dict(request.query)))
        return _redirect(request.query["post_logout_redirect_uri"])


def _redirect(address: str) -> web.Response:
    return web.Response(status=302, headers={"Location": address})
