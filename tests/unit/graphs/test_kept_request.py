"""What another worker knows of a request that it goes on with."""

import dataclasses
from typing import Any
from uuid import uuid4

import orjson

from graphs.runs.request import TurnRequest

# The texts are messages, and the place in the tree is the run's.
ELSEWHERE = {
    *("message", "at_end", "history", "conversation_id", "parent_message_id", "edit_of"),
    *("continue_message_id", "at_end", "image_file_ids"),
}


def test_how_to_answer_is_known_to_who_goes_on() -> None:
    told: dict[str, Any] = {
        "regenerate": True,
        "model_source": "openai",
        "model_name": "m",
        "system_prompt": "Be brief.",
        "use_rag": False,
        "top_k": 3,
        "temperature": 0.5,
        "max_tokens": 9,
        "file_ids": [uuid4()],
        "library_ids": [uuid4()],
        "tools": ["calculate"],
        "reasoning_effort": "low",
    }
    assert {field.name for field in dataclasses.fields(TurnRequest)} == told.keys() | ELSEWHERE
    request = TurnRequest("Hello", conversation_id=uuid4(), **told)
    kept = orjson.loads(orjson.dumps(request.kept(), default=str))
    assert TurnRequest.of_kept(kept, "Hello") == TurnRequest("Hello", **told)
