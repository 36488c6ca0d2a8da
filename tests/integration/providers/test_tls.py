"""AI HUB behind a certificate that nobody signed: refused, unless the operator says otherwise."""

import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llama_service.errors import ProviderUnavailable
from tests.providers import AIHubServer
from tests.providers.asking import EXPECTED, Open, ask, hub_settings


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


@pytest.fixture
async def sealed_hub(tls: ssl.SSLContext) -> AsyncIterator[AIHubServer]:
    async with AIHubServer(tls=tls) as hub:
        yield hub


async def test_unknown_certificate_is_refused_and_told(sealed_hub: AIHubServer, registry_with: Open) -> None:
    registry = await registry_with(**hub_settings(sealed_hub, aihub_verify_ssl=True))
    with pytest.raises(ProviderUnavailable, match="certificate"):
        await ask(registry, source="aihub")
    assert sealed_hub.requests == []


async def test_unchecked_certificate_works_with_a_warning(
    sealed_hub: AIHubServer,
    registry_with: Open,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = await registry_with(**hub_settings(sealed_hub, aihub_verify_ssl=False))
    # Wherever it is written by now: another test may have set logging up.
    written = [*"".join(capfd.readouterr()).splitlines(), *(str(record.msg) for record in caplog.records)]
    assert sum("aihub_tls_not_verified" in line for line in written) == 1
    assert (await ask(registry, source="aihub"))[1] == EXPECTED
