"""The index of passages' vectors: one port, and the engine that `VECTOR_STORE` names behind it."""

from persistence.vectors.engines import check_engine, open_index
from persistence.vectors.port import IndexedPassage, VectorHit, VectorIndex

__all__ = ["IndexedPassage", "VectorHit", "VectorIndex", "check_engine", "open_index"]
