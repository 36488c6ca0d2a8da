"""Buckets of S3, or of any server of its wire."""

from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.store import S3Store

from llama_service.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

# A person waits for the answer: three tries within some ten seconds, and then they are told.
_PATIENCE: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
_TIMEOUT, _CONNECT_TIMEOUT = timedelta(seconds=30), timedelta(seconds=3)  # of one request


def open_bucket(url: str, settings: Settings) -> S3Store:
    """Return the bucket of `s3://bucket/prefix`, reached as the settings say."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    endpoint = settings.aws_endpoint_url or ""
    client: ClientConfig = {
        "timeout": _TIMEOUT,
        "connect_timeout": _CONNECT_TIMEOUT,
        "allow_http": endpoint.startswith("http://"),
    }
    access = _access(settings)
    return S3Store(bucket, prefix=prefix or None, config=access, client_options=client, retry_config=_PATIENCE)


def _access(settings: Settings) -> "S3Config":
    """Return what is set of the credentials; the library looks for the rest (a role, a token file) by itself."""
    access: S3Config = {}
    if settings.aws_access_key_id:
        access["access_key_id"] = settings.aws_access_key_id
    if settings.aws_secret_access_key:
        access["secret_access_key"] = settings.aws_secret_access_key.get_secret_value()
    if settings.aws_session_token:
        access["session_token"] = settings.aws_session_token.get_secret_value()
    if settings.aws_region:
        access["region"] = settings.aws_region
    if settings.aws_endpoint_url:
        access["endpoint"] = settings.aws_endpoint_url
    return access
