"""Rules that no linter knows."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from llama_service.errors import AppError
from llama_service.settings import PROVIDERS, Settings

PACKAGES = ("llama_service", "persistence", "chains", "graphs", "ingestion", "auth", "api")


def sources(repository: Path, *packages: str) -> Iterator[tuple[Path, str]]:
    for package in packages or PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            yield path, path.read_text(encoding="utf-8")


def test_imports_point_one_way(repository: Path) -> None:
    result = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=repository, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout


def test_the_import_rules_name_every_module_of_the_kernel(repository: Path) -> None:
    rules = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = set(re.findall(r"llama_service\.(\w+)", " ".join(rules[0]["layers"])))
    there = {path.stem for path in (repository / "llama_service").glob("*") if path.suffix == ".py" or path.is_dir()}
    assert named == there - {"__init__", "__pycache__", "_app"}


def test_a_transaction_is_committed_in_one_file(repository: Path) -> None:
    found = {path.relative_to(repository).as_posix() for path, text in sources(repository) if ".commit(" in text}
    assert found == {"persistence/session.py"}


def test_http_exceptions_are_raised_nowhere(repository: Path) -> None:
    found = [path.name for path, text in sources(repository) if re.search(r"raise HTTPException|HTTPException\(", text)]
    assert found == []


def test_the_page_has_words_for_every_reason(repository: Path) -> None:
    """The server says reasons in English; the page says them by their codes."""
    words = (repository / "ui" / "src" / "shared" / "i18n" / "en.ts").read_text()
    given = {
        code
        for _, text in sources(repository)
        for code in re.findall(r'(?:\.because|InvalidValue)\(\s*"(\w+)"|"type": "\w+", "code": "(\w+)"', text)
        for code in code
        if code
    }
    assert {code for code in given if f'"reason.{code}"' not in words and f'"rule.{code}"' not in words} == set()


def test_every_route_names_the_owner_or_is_open(repository: Path) -> None:
    """A route takes one of the dependencies that say who is calling; those without are known by name."""
    open_routes = {
        "register", "invitation_state", "login", "refresh", "forgot_password", "reset_password",
        "health", "ready", "metrics", "list_models", "default_model", "status",
        "methods", "oidc_login", "oidc_callback", "oidc_backchannel_logout", "read_share",
    }  # fmt: skip
    for path, text in sources(repository, "api"):
        if path.parent.name != "routes":
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.AsyncFunctionDef):
                continue
            decorated = any(
                isinstance(d, ast.Call)
                and isinstance(d.func, ast.Attribute)
                and getattr(d.func.value, "id", "") == "router"
                for d in node.decorator_list
            )
            if decorated and node.name not in open_routes:
                types = {getattr(argument.annotation, "id", "") for argument in node.args.args if argument.annotation}
                assert types & {"CurrentUser", "CurrentCaller", "Admin", "AskingCaller"}, (path.name, node.name)


def test_repository_reads_of_a_users_things_take_the_owner(repository: Path) -> None:
    """What routes call with an id from outside has `user_id` right behind the session."""
    from persistence import conversations, files, messages, runs

    for function in (
        conversations.get, conversations.change, conversations.remove, conversations.list_page, conversations.search,
        conversations.switch, messages.get, messages.rate, messages.trace, runs.get,
        files.get, files.list_page, files.remove, files.text_of, files.chunks, files.attach, files.detach, files.usage,
    ):  # fmt: skip
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        assert names[:2] == ("session", "user_id"), function.__qualname__


def test_no_dependency_ships_a_package_of_our_names() -> None:
    ours = set(PACKAGES) | {"migrations", "tests", "bench"}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        top = {file.parts[0] for file in distribution.files or [] if len(file.parts) > 1}
        clash = top & (ours - {"tests", "bench"})
        assert not clash or name == "llama-service", (name, clash)


def test_langgraph_json_loads_the_same_graph(repository: Path) -> None:
    configured = json.loads((repository / "langgraph.json").read_text(encoding="utf-8"))
    assert configured["graphs"] == {"chat": "graphs.chat:graph"}
    from graphs.chat import graph

    assert graph.checkpointer is None, "`langgraph dev` refuses a graph with a checkpointer of its own"
    assert [name for name in graph.nodes if not name.startswith("__")] == [
        *["restore", "condense", "retrieve", "augment", "generate", "tools", "persist"]
    ]


def test_importing_opens_nothing(repository: Path) -> None:
    """No module needs a setting, a file or a connection to be imported."""
    script = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a connection was opened by an import')\n"
        "socket.socket.connect = refuse\n"
        "import api.app, api.main, ingestion.worker, ingestion.reindex, auth.admin, persistence.migrate, graphs.chat\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_the_environment_is_read_in_one_place(repository: Path) -> None:
    """Libraries are told things by variables, and children get an environment; settings are read by one class."""
    allowed = {"settings.py", "__main__.py", "sandbox.py", "metrics.py"}
    for path, text in sources(repository):
        if path.name not in allowed and "runtime" not in path.parts:
            assert not re.search(r"os\.environ(\[|\.get)|getenv", text), path


def test_every_setting_is_documented(repository: Path) -> None:
    example = (repository / ".env.example").read_text(encoding="utf-8").lower()
    told = {name.partition("__")[0] for name in re.findall(r"^#?\s*(\w+)=", example, re.MULTILINE)}
    missing = [name for name in Settings.model_fields if name not in told]
    assert missing == []


def test_error_codes_are_unique_and_told() -> None:
    def tree(kind: type[AppError]) -> Iterator[type[AppError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from tree(child)

    seen: dict[str, type[AppError]] = {}
    for kind in tree(AppError):
        assert (kind.__doc__ or "").strip(), kind
        seen.setdefault(kind.code, kind)
        assert issubclass(kind, seen[kind.code]), (kind, seen[kind.code])


def test_every_provider_is_registered() -> None:
    from chains.models import PROVIDER_TYPES

    assert set(PROVIDER_TYPES) == set(PROVIDERS)


@pytest.mark.parametrize(
    "name", ["requirements/dev.txt", "requirements/run.txt", "requirements/server.txt", "ui/package-lock.json"]
)
def test_locks_name_no_host(repository: Path, name: str) -> None:
    text = (repository / name).read_text(encoding="utf-8")
    assert '"resolved"' not in text
    if name.endswith(".txt"):
        assert not re.search(r"https?://|--index-url|--find-links", text)
        assert "--hash=sha256:" in text
