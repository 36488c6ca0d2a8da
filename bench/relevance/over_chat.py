"""Ask a running server through its chat: does the passage reach the prompt, what is called likely, what gets sources?

    python -m bench.relevance.over_chat URL --sets FOLDER [--docs 12] [--questions 100]

For each pair of languages of XQuAD a new account uploads some articles, asks questions that they answer, others that
they do not (of articles that were left out), and messages that need no files (unseen.tsv). The model may be a double.
"""

import argparse
import importlib
import json
import random
import sys
from typing import Any

from bench.relevance.sets import rows


def main() -> None:
    """Print one line of JSON for each pair of languages."""
    parser = argparse.ArgumentParser(prog="python -m bench.relevance.over_chat", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--sets", required=True)
    parser.add_argument("--docs", type=int, default=12)
    parser.add_argument("--questions", type=int, default=100)
    args = parser.parse_args()
    sys.path.insert(0, args.sets)
    xquad = importlib.import_module("datasets").xquad
    server_type = importlib.import_module("over_http").Server
    for asked, read in (("en", "ru"), ("ru", "en"), ("en", "en"), ("ru", "ru")):
        docs, questions = xquad(read, asked)
        figures = _measure(server_type(args.url), docs, questions, args.docs, args.questions)
        print(json.dumps({"questions": asked, "files": read, **figures}), flush=True)


def _measure(server: Any, docs: Any, questions: Any, count: int, limit: int) -> dict[str, Any]:
    chance = random.Random(5)
    chosen = {doc.id: doc for doc in chance.sample(docs, count)}
    server.index(list(chosen.values()))
    inside = [question for question in questions if question.refs[0][0] in chosen]
    outside = [question for question in questions if question.refs[0][0] not in chosen]
    gold, given, likely, held = [], [], [], []
    for question in chance.sample(inside, min(limit, len(inside))):
        name, first, last = question.refs[0]
        answer, prompt = _asked(server, question.text)
        # With what stands before or behind it, so that the same words elsewhere do not count; a passage may end there.
        text, read = chosen[name].text, " ".join(prompt.split())
        around = (text[max(0, first - 12) : last], text[first : last + 12])
        gold.append(any(" ".join(part.split()) in read for part in around))
        given.append(bool(answer["sources"]))
        if answer["confidence"] == "likely":
            held.append(gold[-1])
    for question in chance.sample(outside, min(limit, len(outside))):
        answer, _ = _asked(server, question.text)
        likely.append(answer["confidence"] == "likely")
    talk = [text for kind, _, text in rows("unseen") if kind == "chat"]
    sources = [bool(_asked(server, text)[0]["sources"]) for text in talk]
    return {
        "gold passage in the prompt": _share(gold),
        "kept from the files": round(1 - _share(given), 3),
        "called likely and held": _share(held),
        "called likely": round(len(held) / len(gold), 3),
        "not answered, called likely": _share(likely),
        "talk given sources": _share(sources),
    }


def _asked(server: Any, text: str) -> tuple[Any, str]:
    answer = server.call("/api/v1/chat", {"message": text})
    trace = server.call(f"/api/v1/messages/{answer['message_id']}/trace")
    augment = next(node for node in trace["nodes"] if node["node"] == "augment")
    return answer, augment["output"]["prompt"][-1]["content"]


def _share(values: list[bool]) -> float:
    return round(sum(values) / len(values), 3) if values else 0.0


if __name__ == "__main__":
    main()
