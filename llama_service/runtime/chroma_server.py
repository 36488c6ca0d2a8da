"""Chroma's own server with a token: python -m llama_service.runtime.chroma_server --path DIR --port PORT.

The Rust program (`chroma run`) knows no authentication: on loopback it would serve every user of the machine. The
server in Python is Chroma's as well, over the same Rust index and the same files. The token comes in CHROMA_TOKEN.

That server makes the embedding function which a new collection names before it looks at the token (CVE-2026-45829), so
the token is asked for here, before anything of a request is read.
"""

import argparse
import hmac
import os

import uvicorn
from chromadb.config import Settings
from chromadb.server.fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_OPEN = "/api/v2/heartbeat"  # tells the time


class TokenGate:
    """Lets nobody in who does not send the token, whatever the server behind it makes of a request."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] == "lifespan" or scope["path"] == _OPEN or hmac.compare_digest(given, self._wanted):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("Forbidden", 403)(scope, receive, send)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--path", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    wanted = parser.parse_args()
    token = os.environ["CHROMA_TOKEN"]
    settings = Settings(
        is_persistent=True,
        persist_directory=wanted.path,
        chroma_api_impl="chromadb.api.rust.RustBindingsAPI",
        chroma_server_authn_provider="chromadb.auth.token_authn.TokenAuthenticationServerProvider",
        chroma_server_authn_credentials=token,
        anonymized_telemetry=False,
    )
    app = TokenGate(FastAPI(settings).app(), token)
    uvicorn.run(app, host=wanted.host, port=wanted.port, log_level="warning", access_log=False, timeout_keep_alive=300)


if __name__ == "__main__":
    main()
