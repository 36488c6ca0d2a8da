"""Run doubles as a process: `python -m tests.providers --openai 9001 --ollama 9002 --aihub 9003 --rate 50`.

`--reply` sets a fixed answer, `--tokens N` one of N tokens; else the answer is made from the question.
"""

import argparse
import asyncio
import contextlib
import signal

import uvloop

from tests.providers import AIHubServer, OllamaServer, OpenAIServer, WireServer

KINDS: dict[str, type[WireServer]] = {"openai": OpenAIServer, "ollama": OllamaServer, "aihub": AIHubServer}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, metavar="PORT")
    parser.add_argument("--rate", type=float, default=0, help="tokens a second for each stream; 0: as fast as may be")
    parser.add_argument("--tokens", type=int, help="answer with this many tokens")
    parser.add_argument("--reply", help="answer with this text")
    parser.add_argument("--rounds", type=int, default=0, help="call the tool `calculate` this often before")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        for kind, server_type in KINDS.items():
            if port := getattr(arguments, kind):
                server = await stack.enter_async_context(server_type(port=port, record=False))
                tokens = [f" t{n % 10}" for n in range(arguments.tokens)] if arguments.tokens else None
                delay = 1 / arguments.rate if arguments.rate else 0
                rounds = [[("calculate", {"expression": "17 * 23"})]] * arguments.rounds
                server.script(reply=arguments.reply, tokens=tokens, delay=delay, rounds=rounds, title="A title")
                print(f"{kind} {server.url}", flush=True)  # noqa: T201
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(_serve(_arguments()))
