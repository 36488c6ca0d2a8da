"""Takes vectors out of answers, and nothing else for a vector."""

from typing import Any

from llama_service.errors import ProviderBadAnswer


def ordered(answer: Any) -> list[Any]:
    """Return the embeddings of an OpenAI answer in the order of their texts."""
    try:
        rows = sorted(answer["data"], key=lambda row: row.get("index", 0))
        return [row["embedding"] for row in rows]
    except (LookupError, TypeError, AttributeError) as error:
        raise ProviderBadAnswer from error


def vectors_of(rows: Any, *, count: int) -> list[list[float]]:
    """Return `rows` as vectors of floats, all of one length; raise ProviderBadAnswer for anything else."""
    if not isinstance(rows, list) or len(rows) != count:
        raise ProviderBadAnswer
    try:
        vectors = [[float(number) for number in row] for row in rows]
    except (TypeError, ValueError) as error:
        raise ProviderBadAnswer from error
    if len({len(vector) for vector in vectors}) > 1 or any(not vector for vector in vectors):
        raise ProviderBadAnswer
    return vectors
