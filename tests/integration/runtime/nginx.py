"""The system's nginx with the configuration that ships, before a server of ours; only ports and paths are replaced."""

import asyncio
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parents[3]
# On Debian it lies where only root's PATH leads.
PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

_MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/*.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """Ports that a running nginx listens at, on IPv4 and IPv6 of loopback, and its certificate."""

    port: int
    tls_port: int
    certificate: Path


def _free_port() -> int:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])


def _certify(folder: Path) -> None:
    """Write a key and a certificate for localhost, where the configuration looks for them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "privkey.pem").write_bytes(private)


@asynccontextmanager
async def nginx_before(target: int, folder: Path) -> AsyncIterator[Nginx]:
    """Run nginx before a server at a port of loopback."""
    assert PROGRAM is not None
    port, tls_port = _free_port(), _free_port()
    _certify(folder)
    shipped = ROOT / "deploy" / "nginx"
    (folder / "llama-service").mkdir()
    shutil.copy(shipped / "locations.conf", folder / "llama-service")
    for name in ("llama-service.conf", "llama-service-tls.conf"):
        text = (shipped / name).read_text()
        for shown, used in (
            ("server api:8000;", f"server 127.0.0.1:{target};"),
            ("listen 80;", f"listen {port};"),
            ("listen [::]:80;", f"listen [::]:{port};"),
            ("listen 443 ", f"listen {tls_port} "),
            ("listen [::]:443 ", f"listen [::]:{tls_port} "),
            ("/etc/nginx/certs", str(folder)),
        ):
            assert shown in text or name.endswith("-tls.conf") != ("443" in shown or "certs" in shown), (name, shown)
            text = text.replace(shown, used)
        (folder / name).write_text(text)
    (folder / "main").write_text(_MAIN.format(folder=folder))
    running = await asyncio.create_subprocess_exec(
        PROGRAM, "-p", str(folder), "-c", str(folder / "main"), stdout=sys.stderr, stderr=sys.stderr
    )
    try:
        async with asyncio.timeout(10):
            while True:
                assert running.returncode is None, "nginx did not start"
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", tls_port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
        yield Nginx(port, tls_port, folder / "fullchain.pem")
    finally:
        running.terminate()
        await running.wait()
