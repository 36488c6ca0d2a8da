"""AI HUB's wire, its Keycloak included (`token_url`)."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

from tests.providers.base import Fault, WireServer
from tests.providers.brain import count
from tests.providers.oidc import EXCHANGE
from tests.providers.vectors import vector_of

TOKEN_PATH = "/realms/hub/protocol/openid-connect/token"
STREAM_PATH = "models/{model}/chat/stream"


class AIHubServer(WireServer):
    """A hub with its sign-in server. Tokens are counted; `revoke` makes the current ones worthless."""

    kind = "aihub"
    base_path = "/api/v1"
    client_id = "llama-service"
    client_secret = "hub-secret"
    username = "service"
    password = "hub-password"

    def __init__(self, *, models: list[Any] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.models = (
            models
            if models is not None
            else [
                {"id": "hub-chat", "contextWindow": 32000, "maxOutputTokens": 4000},
                "hub-small",
            ]
        )
        self.expires_in: float | None = 300
        self.token_delay = 0.0
        self.token_fault: int | None = None
        self.tokens_issued: list[str] = []
        self.grants: list[str] = []
        self.signing_in = asyncio.Event()
        # Token exchange: whose a sign-in provider's access token is, who of them the hub lets in, and as whom it was
        # asked for answers.
        self.whose: Callable[[str], str | None] = lambda token: None
        self.barred: set[str] = set()
        self.audience = "aihub"
        self.asked_as: list[str] = []
        self._owner: dict[str, str | None] = {}
        self._good: set[str] = set()

    @property
    def token_url(self) -> str:
        """The full address for tokens."""
        return f"{self.origin}{TOKEN_PATH}"

    def revoke(self) -> None:
        """Let the hub refuse every token that was given out."""
        self._good.clear()

    def is_chat(self, path: str) -> bool:
        return path.endswith(("/chat", "/chat/stream"))

    def error(self, status: int, code: str, message: str) -> web.Response:
        return web.json_response({"code": code, "message": message}, status=status)

    async def answer(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        if request.path == TOKEN_PATH:
            return await self._token(request, body)
        if refused := self._unknown_token(request):
            return refused
        if request.path == f"{self.base_path}/models" and request.query.get("type") == "chatbot":
            return web.json_response({"models": self.models})
        if request.path.endswith("/embed"):
            return web.json_response({"embeddings": [vector_of(body["input"])]})
        return self.error(404, "NOT_FOUND", "no such path")

    async def _token(self, request: web.BaseRequest, form: dict[str, str]) -> web.Response:
        basic = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if self.token_fault:
            return web.json_response({"error": "invalid_grant", "error_description": "secret"}, status=self.token_fault)
        if request.headers.get("Authorization") != f"Basic {basic}":
            return web.json_response({"error": "invalid_client"}, status=401)
        self.grants.append(form["grant_type"])
        if form["grant_type"] == "password" and (form["username"], form["password"]) != (self.username, self.password):
            return web.json_response({"error": "invalid_grant"}, status=401)
        owner: str | None = "the service"
        if form["grant_type"] == EXCHANGE:
            owner = self.whose(form["subject_token"])
            if owner is None or form.get("audience") != self.audience:
                return web.json_response({"error": "invalid_token", "error_description": "secret"}, status=400)
            if owner in self.barred:
                return web.json_response({"error": "access_denied", "error_description": "secret"}, status=403)
        token = f"token-{len(self.tokens_issued) + 1}"
        self._owner[token] = owner
        self.tokens_issued.append(token)
        self.signing_in.set()
        async for _ in self.paced(["wait", "go"] if self.token_delay else [], None):
            continue
        self._good.add(token)
        answer: dict[str, Any] = {"access_token": token, "token_type": "Bearer"}
        if self.expires_in is not None:
            answer["expires_in"] = self.expires_in
        return web.json_response(answer)

    def _unknown_token(self, request: web.BaseRequest) -> web.Response | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer" and token in self._good:
            return None
        return self.error(401, "UNAUTHORIZED", "The token is not valid.")

    async def chat_with(self, request: web.BaseRequest, body: Any, fault: Fault | None) -> web.StreamResponse:
        if refused := self._unknown_token(request):
            return refused
        self.asked_as.append(str(self._owner[request.headers["Authorization"].removeprefix("Bearer ")]))
        if any(set(message) != {"role", "text"} for message in body["messages"]):
            return self.error(400, "BAD_REQUEST", "messages hold role and text")
        if len(body["messages"]) > 10 or not isinstance(body["parameters"]["maxTokens"], str):
            return self.error(400, "BAD_REQUEST", "beyond the limits")
        if not body["parameters"]["stream"]:
            return self._whole(body, fault)
        return await self.send(request, "text/event-stream", self._frames(body, fault), fault)

    def _usage(self, body: Any, made: int) -> dict[str, int]:
        given = count(body["messages"])
        return {"inputTokens": given, "outputTokens": made, "totalTokens": given + made}

    def _whole(self, body: Any, fault: Fault | None) -> web.Response:
        if fault == "empty":
            return web.Response()
        if fault == "malformed":
            return web.Response(text='{"message": {"text": ', content_type="application/json")
        tokens, reason = self.limited(self.tokens(body["messages"], fault), body["parameters"]["maxTokens"])
        answer: dict[str, Any] = {"message": {"role": "assistant", "text": "".join(tokens)}, "finishReason": reason}
        if self._script.usage:
            answer["usage"] = self._usage(body, len(tokens))
        return web.json_response(answer)

    async def _frames(self, body: Any, fault: Fault | None) -> AsyncIterator[bytes]:
        made = 0
        tokens, reason = self.limited(self.tokens(body["messages"], fault), body["parameters"]["maxTokens"])
        async for token in self.paced(tokens, fault):
            made += 1
            yield self._frame({"message": {"role": "assistant", "text": token}})
        last: dict[str, Any] = {"text": "", "finishReason": reason}
        if self._script.usage:
            last["usage"] = self._usage(body, made)
        yield self._frame(last)
        yield b"data: [DONE]\n\n"

    def _frame(self, event: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"

    def broken_frame(self) -> bytes:
        return b'data: {"message": {"text": \n\n'

    def error_frame(self) -> bytes:
        return b'data: {"error": {"code": 500, "message": "secret-internal-detail"}}\n\n'
