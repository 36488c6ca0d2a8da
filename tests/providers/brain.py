"""What the doubles answer: derived from what they were really sent, so that no test passes on a canned reply."""

import re
from typing import Any

TOKEN = re.compile(r"\s*\S+|\s+$")


def tokens_of(text: str) -> list[str]:
    """Cut a text into tokens: words with the space before them."""
    return TOKEN.findall(text)


def reply_to(messages: list[dict[str, str]]) -> str:
    """Say back the last user's words in reverse order; cite [1] where the prompt has sources.

    A question that is to be made whole is made so from everything that the user has said.
    """
    if any(m["role"] == "system" and "Rewrite the last question" in m["text"] for m in messages):
        return " ".join(re.findall(r"^(?:User|Last question): (.*)$", messages[-1]["text"], re.MULTILINE))
    if messages[-1]["role"] == "tool":
        first = next(at for at in range(len(messages) - 1, -1, -1) if messages[at]["role"] != "tool") + 1
        return "The tools say: " + " / ".join(message["text"][:300] for message in messages[first:])
    question = next((m["text"] for m in reversed(messages) if m["role"] == "user"), "")
    words = re.findall(r"\w+", question)[-12:]
    said = f"You asked {len(question)} characters, backwards: {' '.join(reversed(words))}."
    sources = any(re.search(r"\[1\]", m["text"]) for m in messages)
    return f"{said} The sources tell more [1]." if sources else said


def count(messages: list[dict[str, str]]) -> int:
    """Count the prompt's tokens."""
    return sum(len(tokens_of(message["text"])) + 1 for message in messages)


def _string(prompt: str) -> str:
    foreign = re.search(r"[\u4e00-\u9fff]+", prompt)
    return foreign.group() if foreign else "words"


def arguments_for(schema: dict[str, Any], prompt: str) -> dict[str, Any]:
    """Fill a JSON schema's required properties from the prompt."""
    filled: dict[str, Any] = {}
    numbers = iter(re.findall(r"\d+", prompt))
    for name, wanted in schema.get("properties", {}).items():
        if name not in schema.get("required", schema["properties"]):
            continue
        kind = wanted.get("type")
        if kind in ("integer", "number"):
            filled[name] = int(next(numbers, "1"))
        elif kind == "boolean":
            filled[name] = True
        elif kind == "array":
            filled[name] = []
        else:
            filled[name] = _string(prompt)
    return filled


def tool_for(body: dict[str, Any], prompt: str) -> dict[str, Any] | None:
    """Choose the tool that a request forces or its prompt names; None where a plain answer is due."""
    tools: list[dict[str, Any]] = [tool["function"] for tool in body.get("tools") or []]
    messages = body["messages"]
    if not tools or messages[-1]["role"] == "tool":
        return None
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return next(tool for tool in tools if tool["name"] == choice["function"]["name"])
    named = [tool for tool in tools if tool["name"] in prompt or tool["name"].split("_")[-1] in prompt.lower()]
    if named:
        return named[0]
    return tools[0] if choice in ("required", "any") else None
