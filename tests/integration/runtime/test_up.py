"""`llama-service up` as a whole, with a small service in place of the layers above the kernel."""

import shutil
import signal
import socket
import stat
import time
import urllib.request
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.integration.runtime.supervisors import ROOT, Supervisor, eventually, family, supervisor, survivors

SERVE = """
import http.server, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["DATABASE_URL"].encode())
        if os.environ.get("FRAGILE"):
            print("out of luck", flush=True)
            os._exit(7)

def serve(settings, host, port, workers):
    if os.environ.get("BROKEN"):
        sys.exit("no database in sight")
    signal.signal(signal.SIGTERM, lambda *_: (print("asked to stop", flush=True), sys.exit(0)))
    if os.environ.get("DEAF"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    http.server.ThreadingHTTPServer((host, port), Handler).serve_forever()
"""
WORKER = """
import signal, sys

def run(settings):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()
"""
MIGRATE = """
import psycopg

def migrate(settings):
    with psycopg.connect(settings.postgres.libpq) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS admins (name text PRIMARY KEY, password text)")
"""
ADMIN = """
import psycopg

def has_admin(settings):
    with psycopg.connect(settings.postgres.libpq) as connection:
        return connection.execute("SELECT 1 FROM admins").fetchone() is not None

def create_admin(settings, username, email, password):
    with psycopg.connect(settings.postgres.libpq) as connection:
        connection.execute("INSERT INTO admins VALUES (%s, %s)", (username, password))
    return True
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that holds our kernel and the little service."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "llama_service", root / "llama_service", ignore=shutil.ignore_patterns("__pycache__"))
    modules = {
        "api/main": SERVE,
        "ingestion/worker": WORKER,
        "persistence/migrate": MIGRATE,
        "auth/admin": ADMIN,
    }
    for name, text in modules.items():
        path = root / f"{name}.py"
        path.parent.mkdir()
        path.write_text(text)
    return root


@pytest.fixture
def port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Starter:
    """Starts `up` without the models, on one folder and port."""

    def __init__(self, checkout: Path, folder: Path, port: int) -> None:
        self.checkout = checkout
        self.folder = folder
        self.port = port

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def __call__(self, options: Sequence[str] = (), **environment: str) -> AbstractContextManager[Supervisor]:
        models = {"EMBEDDED_CHAT_URL": "http://model/v1", "EMBEDDED_EMBEDDINGS_URL": "http://vectors/v1"}
        names = {"PORT": str(self.port), "DATA_DIR": "data", **models, **environment}
        return supervisor("-m", "llama_service", "up", *options, cwd=self.folder, path=self.checkout, **names)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def api(self, service: Supervisor) -> psutil.Process:
        """Return the process that listens."""
        return self.process(service, "serve")

    def has(self, service: Supervisor, command: str) -> bool:
        """Whether one of our commands runs."""
        return any(command in p.cmdline() for p in psutil.Process(service.process.pid).children(recursive=True))

    def process(self, service: Supervisor, command: str) -> psutil.Process:
        """Return the process of one of our commands. Raises AssertionError where there is none."""
        for process in psutil.Process(service.process.pid).children(recursive=True):
            if command in process.cmdline():
                return process
        raise AssertionError(f"there is no {command}")


@pytest.fixture
def start(checkout: Path, tmp_path: Path, port: int) -> Starter:
    return Starter(checkout, tmp_path, port)


def wait_until_ready(service: Supervisor) -> str:
    """Return what stands between "ready" and the end of the frame."""
    service.line("╭─ llama-service is ready")
    lines: list[str] = []
    assert service.process.stdout is not None
    for line in service.process.stdout:
        if line.startswith("╰"):
            return "\n".join(lines)
        lines.append(line)
    raise AssertionError("the frame was not closed")


def test_first_and_second_start(start: Starter) -> None:
    with start() as service:
        shown = wait_until_ready(service)
        assert start.answers()
        service.signal(signal.SIGINT)
        code, rest = service.end()
        assert code == 0
        assert "Stopped." in rest
    assert not start.answers()
    kept = start.data / "admin-password"
    password = kept.read_text().strip()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert not stat.S_IMODE(kept.parent.stat().st_mode) & 0o066, "nobody else reads the data folder"
    assert f"http://127.0.0.1:{start.port}" in shown
    assert password in shown
    assert "asked to stop" in (start.data / "logs" / "api.log").read_text()
    key = (start.data / "secrets" / "jwt").read_text()
    with start() as service:
        again = wait_until_ready(service)
        service.signal(signal.SIGTERM)
        assert service.end()[0] == 0
    assert password not in again
    assert str(kept) in again
    assert kept.read_text().strip() == password
    assert (start.data / "secrets" / "jwt").read_text() == key


def test_kill_9_leaves_no_orphan_and_the_next_start_works(start: Starter) -> None:
    with start() as service:
        wait_until_ready(service)
        processes = family(service.process.pid)
        names = " ".join(" ".join(process.cmdline()) for process in processes)
        assert "postgres" in names
        assert "chroma" in names
        assert "llama_service serve" in names
        service.signal(signal.SIGKILL)
        assert not survivors(processes)
    with start() as service:
        wait_until_ready(service)
        service.signal(signal.SIGINT)
        assert service.end()[0] == 0


def test_other_commands_find_the_running_parts(start: Starter) -> None:
    with start() as service:
        wait_until_ready(service)
        command = ("-m", "llama_service", "create-admin", "--username", "second")
        with supervisor(*command, cwd=start.folder, path=start.checkout, DATA_DIR="data") as other:
            code, shown = other.end()
        assert code == 0
        assert "Created the administrator second." in shown
        with psycopg.connect(database(start.port)) as connection:
            assert connection.execute("SELECT count(*) FROM admins").fetchone() == (2,)
        service.signal(signal.SIGINT)
        assert service.end()[0] == 0
    with supervisor(*command, cwd=start.folder, path=start.checkout, DATA_DIR="data") as other:
        code, shown = other.end()
    assert code == 2
    assert shown.startswith("llama-service: DATABASE_URL is not set")


def test_an_api_that_dies_comes_back(start: Starter) -> None:
    with start() as service:
        wait_until_ready(service)
        before = start.api(service)
        before.kill()
        assert eventually(lambda: not before.is_running() and start.answers())
        service.signal(signal.SIGINT)
        code, rest = service.end()
        assert code == 0
        assert "child_died" in rest


def test_files_are_read_by_a_process_of_its_own(start: Starter) -> None:
    with start() as service:
        wait_until_ready(service)
        before = start.process(service, "worker")
        before.kill()
        assert eventually(lambda: not before.is_running() and start.has(service, "worker"))
        assert start.answers()
        service.signal(signal.SIGINT)
        assert service.end()[0] == 0
    with start(INLINE_WORKER="true") as service:
        wait_until_ready(service)
        assert not start.has(service, "worker")


def test_a_second_ctrl_c_kills_at_once(start: Starter) -> None:
    with start(DEAF="1", SHUTDOWN_GRACE_SECONDS="60") as service:
        wait_until_ready(service)
        processes = family(service.process.pid)
        service.signal(signal.SIGINT)
        service.line("Stopping")
        service.signal(signal.SIGINT)  # one press may arrive twice
        time.sleep(1)
        assert service.process.poll() is None
        service.signal(signal.SIGINT)
        assert service.end()[0] == 130
        assert not survivors(processes)


def test_an_api_that_cannot_start_is_told_with_its_last_lines(start: Starter) -> None:
    with start(BROKEN="1") as service:
        code, shown = service.end()
    assert code == 1
    assert "llama-service: api ended at its start" in shown
    assert "no database in sight" in shown
    assert "Traceback" not in shown


def test_a_taken_port_is_one_line(start: Starter) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", start.port))
        other.listen()
        with start() as service:
            code, shown = service.end()
    assert code == 1
    assert shown == (
        f"llama-service: cannot listen on 127.0.0.1:{start.port} (Address already in use): "
        "choose another port with --port or PORT\n"
    )


def test_a_folder_in_use_is_one_line(start: Starter, port: int) -> None:
    with start() as service:
        wait_until_ready(service)
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            other = str(probe.getsockname()[1])
        with start(PORT=other) as second:
            code, shown = second.end()
        assert code == 1
        assert f"is in use by another process (pid {service.process.pid}): stop it" in shown
        assert start.answers()


def test_two_services_side_by_side(start: Starter) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        other = int(probe.getsockname()[1])
    with start() as one, start(PORT=str(other), DATA_DIR="other") as two:
        wait_until_ready(one)
        wait_until_ready(two)
        with (
            psycopg.connect(database(start.port)) as first,
            psycopg.connect(database(other)) as second,
        ):
            query = "SELECT password FROM admins"
            assert first.execute(query).fetchone() != second.execute(query).fetchone()


def database(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        return str(answer.read().decode())


def test_an_api_that_keeps_dying_ends_the_service(start: Starter) -> None:
    with start(FRAGILE="1") as service:
        wait_until_ready(service)
        code, rest = service.end()
    assert code == 1
    assert "the api process ended 5 times within 60 s (exit code 7); its last lines, from" in rest
    assert "out of luck" in rest


def test_changed_code_is_loaded(start: Starter) -> None:
    with start(options=["--reload"]) as service:
        wait_until_ready(service)
        before = start.api(service)
        (start.checkout / "api" / "extra.py").write_text("new = True\n")
        assert eventually(lambda: not before.is_running() and start.answers())
        service.signal(signal.SIGINT)
        code, rest = service.end()
        assert code == 0
        assert "code_changed" in rest
