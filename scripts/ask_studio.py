"""Stream one turn from a running studio: `.venv/bin/python scripts/ask_studio.py "Your question" [--url URL]`."""

import argparse
import asyncio
from typing import Any

from langgraph_sdk import get_client


async def ask(url: str, question: str, source: str | None) -> str:
    """Print the answer while it comes; return it whole."""
    parts: list[str] = []
    turn: Any = {"messages": [{"role": "user", "content": question}]}
    async with get_client(url=url) as client:
        assistant = (await client.assistants.search(graph_id="chat"))[0]
        thread = await client.threads.create()
        async for part in client.runs.stream(
            thread["thread_id"],
            assistant["assistant_id"],
            input=turn,
            context={"model_source": source},
            stream_mode="custom",
        ):
            if part.event == "custom" and isinstance(part.data, str):
                print(part.data, end="", flush=True)
                parts.append(part.data)
    print()
    return "".join(parts)


def main() -> None:
    """Read the command line and ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question")
    parser.add_argument("--url", default="http://127.0.0.1:2024")
    parser.add_argument("--source", help="model source; without it the server's default")
    given = parser.parse_args()
    asyncio.run(ask(given.url, given.question, given.source))


if __name__ == "__main__":
    main()
