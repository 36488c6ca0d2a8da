"""A sign-in provider (OpenID Connect): authorisation code with PKCE, checked ID tokens, refresh, and sign-out.

One `OidcClient` for each provider that the settings name. It finds addresses and keys by discovery and asks again when
they may have changed. Accounts of ours are not known here: see `auth.identities`.

https://openid.net/specs/openid-connect-core-1_0.html, RFC 7636 (PKCE), RFC 9207 (the answer names its issuer),
https://openid.net/specs/openid-connect-backchannel-1_0.html
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Never
from urllib.parse import urlencode

import httpx
import jwt
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from llama_service.errors import DependencyUnavailable, SignInFailed
from llama_service.settings import OidcProvider

log = structlog.get_logger(__name__)

# Signatures that need the provider's private key. `none` and those with a shared secret are never taken.
ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
SKEW: Final = 60  # seconds that the provider's clock may differ from ours
METADATA_KEPT: Final = 3600.0  # seconds
KEYS_ASKED_EVERY: Final = 1.0  # seconds, at most so often where a token names a key that is not known
TIMEOUT: Final = 10.0  # seconds for one call
DEFAULT_LIFETIME: Final = 300  # seconds of an access token whose lifetime is not told
_LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"


class Metadata(BaseModel):
    """What discovery tells of a provider, as far as it is used."""

    model_config = ConfigDict(extra="ignore")

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool = False


class TokenAnswer(BaseModel):
    """Tokens of a provider; `expires_in` is the access token's lifetime in seconds."""

    model_config = ConfigDict(extra="ignore")

    access_token: str
    id_token: str | None = None
    refresh_token: str | None = None
    expires_in: float = DEFAULT_LIFETIME


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a browser has to bring back from the provider, and what its answer is checked by."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def begin(cls) -> "Attempt":
        """Draw new secrets."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """Which sessions the provider has ended: one (`sid`), or all of a subject."""

    subject: str | None
    sid: str | None


class GrantRefused(Exception):
    """The provider does not take this code or refresh token (any more): it was used, or the session there has ended."""


class OidcClient:
    """One provider, as its client sees it. Raises SignInFailed, DependencyUnavailable."""

    def __init__(self, name: str, settings: OidcProvider) -> None:
        self.name = name
        self.settings = settings
        # The system's authorities, as for models: httpx alone would take a list of its own, without the company's.
        verify = ssl.create_default_context() if settings.verify_ssl else False
        self._http = httpx.AsyncClient(timeout=TIMEOUT, verify=verify, follow_redirects=False)
        self._metadata: Metadata | None = None
        self._metadata_at = -METADATA_KEPT
        self._keys: list[dict[str, Any]] = []
        self._keys_at = -KEYS_ASKED_EVERY
        self._asking = asyncio.Lock()

    @property
    def label(self) -> str:
        """What the button says."""
        return self.settings.label or self.name.replace("_", " ").replace("-", " ").title()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def authorization_url(self, attempt: Attempt, redirect_uri: str) -> str:
        """Return where the browser goes to sign in."""
        metadata = await self._discovered()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.settings.scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        return _with_query(metadata.authorization_endpoint, query)

    async def check_issuer(self, told: str | None) -> None:
        """Refuse an answer of another provider. One that says it names itself in its answers has to."""
        metadata = await self._discovered()
        if told is None and not metadata.authorization_response_iss_parameter_supported:
            return
        if told != metadata.issuer:
            self._refuse("another_issuer")

    async def redeem(self, code: str, attempt: Attempt, redirect_uri: str) -> tuple[TokenAnswer, dict[str, Any]]:
        """Spend the code that the browser has brought; return tokens, and the claims of the checked ID token."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
        }
        try:
            tokens = await self._tokens(form)
        except GrantRefused:
            self._refuse("code_refused")
        if tokens.id_token is None:
            self._refuse("no_id_token")
        claims = await self._verified(tokens.id_token, ["exp", "iat", "sub", "aud", "iss"])
        if not hmac.compare_digest(str(claims.get("nonce", "")), attempt.nonce):
            self._refuse("wrong_nonce")
        if claims.get("azp", self.settings.client_id) != self.settings.client_id:
            self._refuse("another_client")
        return tokens, claims

    async def refresh(self, refresh_token: str) -> TokenAnswer:
        """Return new tokens. Raises GrantRefused where the session at the provider has ended."""
        return await self._tokens({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def end_session_url(self, id_token: str | None, back_to: str) -> str | None:
        """Return where the browser ends the provider's session too, None where the provider has no such place."""
        try:
            endpoint = (await self._discovered()).end_session_endpoint
        except DependencyUnavailable:
            return None  # who signs out is signed out here in any case
        if endpoint is None:
            return None
        query = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back_to}
        return _with_query(endpoint, query | ({"id_token_hint": id_token} if id_token else {}))

    async def logout_token(self, token: str) -> LogoutToken:
        """Return what a logout token ends, after the checks of OpenID Connect Back-Channel Logout 1.0, section 2.6."""
        claims = await self._verified(token, ["iat", "aud", "iss", "jti"])
        events = claims.get("events")
        if not isinstance(events, Mapping) or _LOGOUT_EVENT not in events or "nonce" in claims:
            self._refuse("no_logout_token")
        if time.time() - float(claims["iat"]) > METADATA_KEPT:
            self._refuse("old_logout_token")
        subject, sid = claims.get("sub"), claims.get("sid")
        if subject is None and sid is None:
            self._refuse("no_logout_token")
        return LogoutToken(None if subject is None else str(subject), None if sid is None else str(sid))

    async def _verified(self, token: str, required: list[str]) -> dict[str, Any]:
        """Return the claims of a token that this provider has signed for this client."""
        metadata = await self._discovered()
        try:
            header = jwt.get_unverified_header(token)
            algorithm = str(header.get("alg"))
            if algorithm not in ALGORITHMS:
                self._refuse("algorithm")
            key = await self._key(header.get("kid"), algorithm)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self.settings.client_id,
                issuer=metadata.issuer,
                leeway=SKEW,
                options={"require": required},
            )
        except jwt.PyJWTError as error:
            log.info("token_refused", provider=self.name, reason=type(error).__name__)
            raise SignInFailed from None
        audience = claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != self.settings.client_id:
            self._refuse("another_client")
        return claims

    async def _key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK:
        key = self._known_key(key_id, algorithm)
        if key is None:
            await self._ask_keys()
            key = self._known_key(key_id, algorithm)
        if key is None:
            self._refuse("unknown_key")
        return key

    def _known_key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        for told in self._keys:
            fits = told.get("use", "sig") == "sig" and told.get("alg", algorithm) == algorithm
            if fits and (key_id is None or told.get("kid") == key_id):
                try:
                    return jwt.PyJWK.from_dict(told, algorithm=algorithm)
                except jwt.PyJWTError:
                    continue  # a key of another kind than the algorithm
        return None

    async def _ask_keys(self) -> None:
        async with self._asking:
            if time.monotonic() - self._keys_at < KEYS_ASKED_EVERY:
                return
            metadata = await self._discovered()
            told = await self._json("GET", metadata.jwks_uri)
            keys = told.get("keys")
            self._keys = [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []
            self._keys_at = time.monotonic()

    async def _discovered(self) -> Metadata:
        """Return the provider's description. Where it can't be asked anew, the one from before is good."""
        if self._metadata is not None and time.monotonic() - self._metadata_at < METADATA_KEPT:
            return self._metadata
        try:
            told = await self._json("GET", f"{self.settings.issuer}/.well-known/openid-configuration")
            metadata = Metadata.model_validate(told)
        except DependencyUnavailable:
            if self._metadata is None:
                raise
            return self._metadata
        except ValidationError:
            self._unavailable("no_description")
        if metadata.issuer.rstrip("/") != self.settings.issuer:
            self._unavailable("another_issuer")
        self._metadata, self._metadata_at = metadata, time.monotonic()
        return metadata

    async def _tokens(self, form: dict[str, str]) -> TokenAnswer:
        metadata = await self._discovered()
        secret = self.settings.client_secret
        # A confidential client shows its secret by HTTP Basic, which every provider has to take (RFC 6749, 2.3.1).
        auth = None if secret is None else httpx.BasicAuth(self.settings.client_id, secret.get_secret_value())
        if auth is None:
            form = form | {"client_id": self.settings.client_id}
        told = await self._json("POST", metadata.token_endpoint, form=form, auth=auth)
        try:
            return TokenAnswer.model_validate(told)
        except ValidationError:
            self._unavailable("no_tokens")

    async def _json(
        self, method: str, url: str, *, form: dict[str, str] | None = None, auth: httpx.Auth | None = None
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        try:
            answer = await self._http.request(method, url, data=form, auth=auth, headers=headers)
            told = answer.json() if answer.status_code in (200, 400, 401) else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            self._unavailable(type(error).__name__)
        if answer.status_code in (400, 401) and form is not None and isinstance(told, dict):
            log.info("provider_refused", provider=self.name, error=str(told.get("error"))[:100])
            if told.get("error") == "invalid_grant":
                raise GrantRefused
            self._unavailable("client_refused")
        if answer.status_code != 200 or not isinstance(told, dict):
            self._unavailable(f"status_{answer.status_code}")
        return told

    def _refuse(self, reason: str) -> Never:
        log.warning("sign_in_refused", provider=self.name, reason=reason)
        raise SignInFailed

    def _unavailable(self, reason: str) -> Never:
        log.warning("sign_in_provider_failed", provider=self.name, reason=reason)
        raise DependencyUnavailable("The sign-in provider does not answer as it should; try again later.")


def _with_query(address: str, query: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"
