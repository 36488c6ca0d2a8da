"""The yardstick: the barest proxy between a browser and a model provider, FastAPI and httpx and nothing else.

    python -m bench.proxy --port 9000 --target http://127.0.0.1:9001/v1

It forwards bytes: no account, no database, no parsing.
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse


def make(target: str) -> FastAPI:
    """Return a proxy whose `POST /{path}` goes to `target`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=1000)
        async with httpx.AsyncClient(timeout=120, limits=limits) as client:
            app.state.client = client
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.post("/{path:path}")
    async def forward(path: str, request: Request) -> StreamingResponse:
        client: httpx.AsyncClient = request.app.state.client
        headers = {"Content-Type": "application/json", "Authorization": request.headers.get("Authorization", "")}
        body = await request.body()
        asked = client.build_request("POST", f"{target}/{path}", content=body, headers=headers)
        answer = await client.send(asked, stream=True)

        async def forwarded() -> AsyncIterator[bytes]:
            try:
                async for piece in answer.aiter_raw():
                    yield piece
            finally:
                await answer.aclose()

        kept = answer.headers.get("Content-Type", "text/event-stream")
        return StreamingResponse(forwarded(), status_code=answer.status_code, media_type=kept)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", required=True)
    given = parser.parse_args()
    uvicorn.run(make(given.target), port=given.port, loop="uvloop", http="httptools", log_config=None, access_log=False)


if __name__ == "__main__":
    main()
