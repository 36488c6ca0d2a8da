"""One typed class for everything that an operator sets.

Values come from the environment and from `.env`; names are case-insensitive. A secret may lie in a file that
`NAME_FILE` names, as Docker and Kubernetes hand them over. A wrong value stops the start with one line that names the
variable, the value (secrets masked) and what is allowed: see `load_settings`.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pydantic_settings
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from llama_service.dsn import SCHEMES, PostgresDsn

ModelSource = Literal["local", "embedded", "ollama", "openai", "aihub"]
ProviderName = Literal["embedded", "ollama", "openai", "aihub"]
VectorEngine = Literal["chroma", "pgvector", "milvus"]
PROVIDERS: tuple[ProviderName, ...] = get_args(ProviderName)

_PLACEHOLDERS = {"changeme", "change-me", "secret", "your-secret-key", "please-change-me"}
_DEFAULT_ORIGINS = [f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 5173, 8000)]


def _no_trailing_slash(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("an address that begins with http:// or https://")
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_no_trailing_slash)]


def _bucket(url: str) -> str:
    if url and not re.match(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/|$)", url):
        raise ValueError("s3://bucket or s3://bucket/prefix")
    return url.rstrip("/")


def _vector_store(value: str) -> str:
    value = value.strip().rstrip("/") or "chroma"
    if value not in ("chroma", "pgvector") and not re.fullmatch(r"milvus\+https?://[^/@\s]+", value):
        raise ValueError("chroma, pgvector or milvus+http://host:19530 (milvus+https://; MILVUS_TOKEN opens it)")
    return value


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _path(value: str) -> str:
    value = value.strip().rstrip("/")
    if value and not re.fullmatch(r"(/[\w.~-]+)+", value):
        raise ValueError("a path as /ai")
    return value


Words = Annotated[list[str], NoDecode, BeforeValidator(_split)]


def _prices(value: object) -> object:
    """Return prices of `source/model=in:out` entries; what is no text is as it was given.

    A child process is handed JSON (`as_variables`).
    """
    if not isinstance(value, str):
        return value
    if value.startswith("{"):
        return json.loads(value)
    found: dict[str, tuple[float, ...]] = {}
    for entry in filter(None, (part.strip() for part in value.split(","))):
        name, _, price = entry.rpartition("=")
        parts = price.split(":")
        if "/" not in name or len(parts) != 2 or not all(_NUMBER.fullmatch(part.strip()) for part in parts):
            raise ValueError("source/model=in:out, US dollars for a million tokens, separated by commas")
        found[name.strip()] = (float(parts[0]), float(parts[1]))
    return found


_NUMBER = re.compile(r"\d+(\.\d+)?")
ModelPrices = Annotated[dict[str, tuple[float, float]], NoDecode, BeforeValidator(_prices)]
ProviderId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](_?[a-z0-9-])*$", max_length=40)]


class OidcProvider(BaseModel):
    """A sign-in provider (OpenID Connect), found by discovery at its issuer.

    `roles_claim` names claims, dotted where they lie deeper, that hold roles or groups. Who has one of `admin_roles`
    is an administrator, and nobody else; who has none of `required_roles` may not sign in. Empty: no rule.
    """

    issuer: Url = Field(min_length=1)
    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    label: str = ""
    scopes: str = "openid profile email"
    create_accounts: bool = True
    link_by_email: bool = False
    username_claim: str = "preferred_username"
    roles_claim: Words = ["realm_access.roles", "groups"]
    admin_roles: Words = []
    required_roles: Words = []
    verify_ssl: bool = True


class SettingsError(Exception):
    """A setting has a value that can't be used; the message is one line for the operator."""


class FromEnvironment(BaseSettings):
    """Where settings come from: arguments, the environment, `.env`; in the last two, secrets also from files."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        case_sensitive=False,
        extra="ignore",
        env_ignore_empty=True,
        env_nested_delimiter="__",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in their order; `NAME_FILE` counts as `NAME` of the same source."""
        for source in (env_settings, dotenv_settings):
            if isinstance(source, EnvSettingsSource):
                source.env_vars = _with_secrets_of_files(source.env_vars)
        return init_settings, env_settings, dotenv_settings


class Settings(FromEnvironment):
    """All settings. Sizes are in the unit that the name says; times are in seconds unless the name says otherwise."""

    # The service
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    data_dir: Path = Path(".data")
    environment: Literal["development", "production"] = "production"
    allowed_origins: Annotated[list[str], NoDecode] = _DEFAULT_ORIGINS
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "console", "json"] = "auto"
    ui_dir: Path | None = None
    root_path: Annotated[str, AfterValidator(_path)] = ""
    shutdown_grace_seconds: float = Field(default=20, ge=0)
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    otel_exporter_otlp_endpoint: Url | None = None
    otel_exporter_otlp_headers: SecretStr | None = None
    otel_service_name: str = "llama-service"
    otel_traces_sampler_arg: float = Field(default=1.0, ge=0, le=1)
    otel_instrumentation_genai_capture_message_content: bool = False

    # Storage. Unset: the embedded parts, which `up` starts.
    database_url: SecretStr | None = None
    database_session_url: SecretStr | None = None
    alembic_database_url: SecretStr | None = None
    database_pool_size: int = Field(default=10, ge=1)
    vector_store: Annotated[str, AfterValidator(_vector_store)] = "chroma"
    milvus_token: SecretStr | None = None
    chroma_url: Url | None = None
    chroma_token: SecretStr | None = None
    vectordb_path: Path = Path(".chromadb")
    collection_name: str = Field(default="documents", pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{1,40}[a-zA-Z0-9]$")
    blob_dir: Path | None = None
    blob_url: Annotated[str, AfterValidator(_bucket)] = ""
    aws_endpoint_url: Url | None = None
    aws_region: str | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None

    # Accounts
    admin_password: SecretStr | None = None
    jwt_secret_key: SecretStr
    jwt_secret_key_previous: SecretStr | None = None
    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"
    jwt_access_token_expire_minutes: int = Field(default=10080, ge=1)
    refresh_token_expire_days: int = Field(default=30, ge=1)
    cookie_secure: bool = False
    allow_registration: bool = True
    allow_anonymous_chat: bool = False
    allow_public_shares: bool = False
    login_attempts_per_minute: int = Field(default=5, ge=1)
    trusted_proxies: str = "127.0.0.1"
    public_url: Url = ""
    password_sign_in: bool = True
    admin_two_factor: bool = False
    oidc: dict[ProviderId, OidcProvider] = {}
    smtp_url: SecretStr | None = None
    mail_from: str = "llama-service@localhost"

    # Models
    default_model_source: ModelSource = "ollama"
    model_fallback_sources: Annotated[list[ProviderName], NoDecode] = ["embedded"]
    embeddings_source: ProviderName = "embedded"
    embeddings_baseurl: Url = "http://localhost:11434"
    ollama_chat_model: str = "llama3.2:latest"
    ollama_embed_model: str = "nomic-embed-text:latest"
    openai_api_key: SecretStr | None = None
    openai_base_url: Url = "https://api.openai.com/v1"
    openai_model: str = "gpt-4"
    openai_embed_model: str = "text-embedding-3-small"
    aihub_url: Url | None = None
    aihub_keycloak_host: Url | None = None
    aihub_username: str | None = None
    aihub_password: SecretStr | None = None
    aihub_client_id: str | None = None
    aihub_client_secret: SecretStr | None = None
    aihub_verify_ssl: bool = False
    aihub_as_user: str = ""
    aihub_audience: str = ""
    aihub_chat_stream_path: str = ""
    aihub_model: str | None = None
    aihub_embed_model: str | None = None
    embedded_model_path: Path | None = None
    embedded_chat_url: Url | None = None
    embedded_embeddings_url: Url | None = None
    embedded_api_key: SecretStr | None = None
    embedded_context_tokens: int = Field(default=4096, ge=512)

    # How long a provider may take, and how many calls it gets at once
    provider_connect_timeout: float = Field(default=3, gt=0)
    provider_first_token_timeout: float = Field(default=120, gt=0)
    provider_between_tokens_timeout: float = Field(default=60, gt=0)
    provider_probe_timeout: float = Field(default=2, gt=0)
    provider_max_retries: int = Field(default=2, ge=0)
    provider_max_in_flight: int = Field(default=256, ge=1)
    provider_max_queue: int = Field(default=1024, ge=0)

    # A run whose worker died goes on behind the text that was sent: `prefix` where the model can continue a text,
    # `always` also where it can only be asked to (it may repeat itself)
    takeover: Literal["prefix", "always"] = "prefix"

    # What models cost that no public list knows, or otherwise: `source/model=in:out`, US dollars for a million tokens
    model_prices: ModelPrices = {}

    # Names of the tools that are on in conversations for which nobody has chosen (`GET /api/v1/tools` lists them)
    default_tools: Annotated[list[str], NoDecode] = []

    # Files and retrieval
    max_filesize_mb: float = Field(default=50, gt=0)
    max_files_per_user: int = Field(default=1000, ge=1)
    max_bytes_per_user_mb: float = Field(default=2048, gt=0)
    chunk_size: int = Field(default=2000, ge=200, le=100_000)
    chunk_overlap: int = Field(default=400, ge=0)
    max_message_chars: int = Field(default=32_000, ge=1)
    rerank_url: Url | None = None
    rerank_model: str = ""
    rerank_api_key: SecretStr | None = None
    retrieval_budget_chars: int = Field(default=6000, ge=500)
    retrieval_wait_seconds: float = Field(default=10, ge=0)
    ingestion_timeout_seconds: float = Field(default=300, gt=0)
    ingestion_memory_mb: int = Field(default=2048, ge=256)
    worker_concurrency: int = Field(default=2, ge=1)
    inline_worker: bool = True

    @field_validator("allowed_origins", "model_fallback_sources", "default_tools", mode="before")
    @classmethod
    def _split_csv(cls, value: object) -> object:
        return _split(value)

    @field_validator("default_model_source", "embeddings_source", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.strip().upper() if isinstance(value, str) else value

    @field_validator("jwt_secret_key", "jwt_secret_key_previous")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        secret = value.get_secret_value() if value is not None else None
        if secret is not None and (len(secret) < 32 or secret.lower() in _PLACEHOLDERS):
            raise ValueError("a random string of at least 32 characters")
        return value

    @field_validator("database_url", "database_session_url", "alembic_database_url")
    @classmethod
    def _postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(SCHEMES):
            raise ValueError("postgresql://user:password@host:port/database")
        return value

    @model_validator(mode="after")
    def _overlap_fits(self) -> "Settings":
        if self.chunk_overlap >= self.chunk_size:
            raise ValueError(f"CHUNK_OVERLAP={self.chunk_overlap}: less than CHUNK_SIZE ({self.chunk_size})")
        return self

    @model_validator(mode="after")
    def _belongs_together(self) -> "Settings":
        if not self.password_sign_in and not self.oidc:
            raise ValueError("PASSWORD_SIGN_IN=false: only where OIDC__<name>__ISSUER names a sign-in provider")
        if self.public_url and not self.public_url.endswith(self.root_path):
            raise ValueError(f"PUBLIC_URL={self.public_url}: it ends with ROOT_PATH ({self.root_path})")
        if self.aihub_as_user and self.aihub_as_user not in self.oidc:
            raise ValueError(f"AIHUB_AS_USER={self.aihub_as_user}: the <name> of one that OIDC__<name>__ISSUER sets")
        return self

    @property
    def authority(self) -> str:
        """Host and port that are listened at, as an address has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def max_filesize_bytes(self) -> int:
        """The largest upload, in bytes."""
        return int(self.max_filesize_mb * 1024 * 1024)

    @property
    def vectordb_dir(self) -> Path:
        """Where the embedded Chroma keeps its index; a relative `VECTORDB_PATH` lies in the data folder."""
        return self.data_dir / self.vectordb_path

    @property
    def vector_engine(self) -> VectorEngine:
        """What keeps the vector index, by `VECTOR_STORE`."""
        if self.vector_store == "pgvector":
            return "pgvector"
        return "milvus" if self.vector_store.startswith("milvus+") else "chroma"

    @property
    def milvus_address(self) -> str:
        """Where Milvus is: `VECTOR_STORE` without the engine's name."""
        return self.vector_store.removeprefix("milvus+")

    @property
    def chroma_address(self) -> str:
        """Where Chroma is: `CHROMA_URL`, or where one is expected when nothing is set."""
        return self.chroma_url or "http://localhost:8001"

    @property
    def blobs_dir(self) -> Path:
        """Where uploaded bytes lie, or pass through to a bucket: `BLOB_DIR`, or a folder in the data folder."""
        return self.blob_dir or self.data_dir / "blobs"

    @property
    def postgres(self) -> PostgresDsn:
        """The database's address. Raises SettingsError where none is configured: `up` sets one for its children."""
        if self.database_url is None:
            raise SettingsError("DATABASE_URL is not set: give one, or start everything with `llama-service up`")
        is_pooled = self.database_session_url is not None
        return PostgresDsn.of(self.database_url.get_secret_value(), is_pooled=is_pooled)

    @property
    def postgres_session(self) -> PostgresDsn:
        """The database's address for what needs a session: LISTEN, locks. Past a pooler, if there is one."""
        url = self.database_session_url
        return PostgresDsn.of(url.get_secret_value()) if url else self.postgres

    @property
    def postgres_migration(self) -> PostgresDsn:
        """The address that migrations use: `ALEMBIC_DATABASE_URL`, or the database's own."""
        url = self.alembic_database_url
        return PostgresDsn.of(url.get_secret_value()) if url else self.postgres_session

    def as_variables(self) -> dict[str, str]:
        """Return what was set, as variables for another process; secrets are in it."""
        return {name.upper(): _as_variable(getattr(self, name)) for name in sorted(self.model_fields_set)}


def _as_variable(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps({name: _revealed(part) for name, part in value.items()})
    return "" if value is None else str(value)


def _revealed(part: object) -> object:
    if not isinstance(part, BaseModel):
        return part
    told = part.model_dump(exclude_unset=True)
    return {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in told.items()}


def _shown(value: object) -> str:
    text = "***" if isinstance(value, SecretStr) else re.sub(r"//[^/@\s]*@", "//***@", str(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _allowed(error: Any) -> str:
    context = error.get("ctx", {})
    if "expected" in context:
        return f"allowed: {context['expected']}"
    if error["type"] == "value_error":
        return f"allowed: {context['error']}"
    return str(error["msg"])


def _is_secret(place: Sequence[int | str]) -> bool:
    field = None
    if len(place) == 1:
        field = Settings.model_fields.get(str(place[0]))
    elif len(place) == 3 and place[0] == "oidc":
        field = OidcProvider.model_fields.get(str(place[2]))
    return field is not None and "SecretStr" in str(field.annotation)


_FILE = "_file"


def _with_secrets_of_files(variables: Mapping[str, str | None]) -> Mapping[str, str | None]:
    """Return variables (names in lower case) with the secrets of the files that `NAME_FILE` names among them.

    Raises SettingsError with a line for each that can't be used; what a file holds is in none of them.
    """
    given, wrong = dict(variables), []
    for variable, path in variables.items():
        name = variable.removesuffix(_FILE)
        if name == variable or not path or not _is_secret(name.split("__")):
            continue
        if given.get(name):
            wrong.append(f"{name.upper()} and {variable.upper()} are both set: keep one of them")
            continue
        try:
            given[name] = read_secret_file(Path(path))
        except SettingsError as unusable:
            wrong.append(f"{variable.upper()}={path}: {unusable}")
    if wrong:
        raise SettingsError("\n".join(wrong))
    return given


def read_secret_file(path: Path) -> str:
    """Return the secret that a file holds, less the newline at its end. Raises SettingsError, without the content."""
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as unreadable:
        raise SettingsError(f"the file can't be read ({unreadable.strerror})") from None
    except ValueError:  # no UTF-8, or a NUL in the path
        raise SettingsError("the file holds no text") from None
    if not secret.strip():
        raise SettingsError("the file is empty")
    return secret


def environment_with(variables: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with settings replaced, for a process that is to have these.

    Names are case-insensitive for the settings: no other spelling of one may survive beside it, nor its `NAME_FILE`.
    """
    replaced = {name.upper() for name in variables}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in replaced and name.upper().removesuffix(_FILE.upper()) not in replaced
    }
    return {**kept, **variables}


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from `overrides`, the environment and `.env`, in this order of precedence.

    Raises SettingsError with one line for each variable that can't be used.
    """
    try:
        return Settings(**overrides)
    except pydantic_settings.SettingsError as broken:  # a variable that holds no JSON where JSON was begun
        raise SettingsError(str(broken)) from None
    except ValidationError as invalid:
        lines = []
        for error in invalid.errors():
            if not error["loc"]:
                lines.append(str(error["ctx"]["error"]))
                continue
            name = "__".join(str(part) for part in error["loc"])
            if error["type"] == "missing":
                hint = "; `up` keeps one in its DATA_DIR: name that folder" if name == "jwt_secret_key" else ""
                lines.append(f"{name.upper()} is not set: it is required{hint}")
                continue
            secret = _is_secret(error["loc"])
            value = "***" if secret else _shown(error["input"])
            lines.append(f"{name.upper()}={value}: {_allowed(error)}")
        raise SettingsError("\n".join(lines)) from None
