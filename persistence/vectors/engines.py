"""Which engine keeps the vector index: the one place that knows them all."""

from importlib.util import find_spec

from llama_service.settings import Settings, SettingsError
from persistence.session import Database
from persistence.vectors.chroma import ChromaIndex
from persistence.vectors.pgvector import PgvectorIndex
from persistence.vectors.port import VectorIndex


def check_engine(settings: Settings) -> None:
    """Raise SettingsError where the packages of the engine that the settings name are not installed."""
    if settings.vector_engine == "milvus" and find_spec("pymilvus") is None:
        raise SettingsError(
            f"VECTOR_STORE={settings.vector_store}: pymilvus is not installed: install llama-service[milvus]"
        )


def open_index(settings: Settings, database: Database) -> VectorIndex:
    """Return the index of the engine that the settings name; nothing is asked of it yet.

    Raises SettingsError as `check_engine` does.
    """
    check_engine(settings)
    match settings.vector_engine:
        case "chroma":
            return ChromaIndex(settings.chroma_address, settings.collection_name, settings.chroma_token)
        case "pgvector":
            return PgvectorIndex(database)
        case "milvus":
            # Its packages are optional, and take more than a second to load.
            from persistence.vectors.milvus import MilvusIndex

            return MilvusIndex(settings.milvus_address, settings.collection_name, settings.milvus_token)
