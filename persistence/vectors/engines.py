"""Which engine keeps the vector index: the one place that knows them all."""

from llama_service.settings import Settings, SettingsError
from persistence.session import Database
from persistence.vectors.port import VectorIndex


def open_index(settings: Settings, database: Database) -> VectorIndex:
    """Return the index of the engine that the settings name; nothing is asked of it yet.

    An engine's packages are imported where it is chosen. Raises SettingsError where they are not installed.
    """
    match settings.vector_engine:
        case "pgvector":
            from persistence.vectors.pgvector import PgvectorIndex

            return PgvectorIndex(database)
        case "milvus":
            try:
                from persistence.vectors.milvus import MilvusIndex
            except ModuleNotFoundError as missing:
                raise SettingsError(
                    f"VECTOR_STORE={settings.vector_store}: the package {missing.name} is not installed: install "
                    "llama-service[milvus]"
                ) from None
            return MilvusIndex(settings.milvus_address, settings.collection_name, settings.milvus_token)
        case "chroma":
            from persistence.vectors.chroma import ChromaIndex

            return ChromaIndex(settings.chroma_address, settings.collection_name, settings.chroma_token)
