"""Chroma's own server with a token: python -m llama_service.runtime.chroma_server --path DIR --port PORT.

The Rust program (`chroma run`) knows no authentication: on loopback it would serve every user of the machine. The
server in Python is Chroma's as well, over the same Rust index and the same files. The token comes in CHROMA_TOKEN.
"""

import argparse
import os

import uvicorn
from chromadb.config import Settings
from chromadb.server.fastapi import FastAPI


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--path", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    wanted = parser.parse_args()
    settings = Settings(
        is_persistent=True,
        persist_directory=wanted.path,
        chroma_api_impl="chromadb.api.rust.RustBindingsAPI",
        chroma_server_authn_provider="chromadb.auth.token_authn.TokenAuthenticationServerProvider",
        chroma_server_authn_credentials=os.environ["CHROMA_TOKEN"],
        anonymized_telemetry=False,
    )
    app = FastAPI(settings).app()
    uvicorn.run(app, host=wanted.host, port=wanted.port, log_level="warning", access_log=False, timeout_keep_alive=300)


if __name__ == "__main__":
    main()
