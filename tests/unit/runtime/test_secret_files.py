"""Secrets in files, as Docker and Kubernetes hand them over: what is read, and what stops the start."""

from pathlib import Path

import pytest

from llama_service.runtime.keys import jwt_key_overrides
from llama_service.runtime.service import service_environment
from llama_service.settings import OidcProvider, Settings, SettingsError, environment_with, load_settings
from tests.unit.runtime.test_command_line import run

KEY = "in-a-file-" + "k" * 40
SECRETS = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def kept(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def value_of(name: str) -> str:
    return f"postgresql://anna:{'s' * 40}@db/{name}" if name.endswith("_url") else f"secret-of-{name}-" + "s" * 32


def test_every_secret_can_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert len(SECRETS) > 12
    for name in SECRETS:
        monkeypatch.setenv(f"{name.upper()}_FILE", kept(tmp_path, name, f"{value_of(name)}\r\n"))
    monkeypatch.setenv("OIDC__COMPANY__ISSUER", "https://company.example")
    monkeypatch.setenv("OIDC__COMPANY__CLIENT_ID", "chat")
    monkeypatch.setenv("OIDC__COMPANY__CLIENT_SECRET_FILE", kept(tmp_path, "client", " of the company \n"))
    settings = load_settings()
    assert {name: getattr(settings, name).get_secret_value() for name in SECRETS} == {
        name: value_of(name) for name in SECRETS
    }
    secret = settings.oidc["company"].client_secret
    assert secret is not None
    assert secret.get_secret_value() == " of the company ", "only the newline at the end is taken off"


def test_each_secret_of_a_provider_is_known() -> None:
    secrets = [name for name, field in OidcProvider.model_fields.items() if "SecretStr" in str(field.annotation)]
    assert secrets == ["client_secret"]


def test_a_file_named_in_dotenv_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(f"JWT_SECRET_KEY_FILE={kept(tmp_path, 'jwt', KEY)}\n")
    assert load_settings().jwt_secret_key.get_secret_value() == KEY
    assert jwt_key_overrides(tmp_path / "data") == {}, "no key is made beside it"
    monkeypatch.setenv("JWT_SECRET_KEY", "e" * 40)
    assert load_settings().jwt_secret_key.get_secret_value() == "e" * 40


def test_other_settings_and_other_programs_variables_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PORT_FILE", "OTHER__CLIENT_SECRET_FILE", "AWS_CONFIG_FILE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    assert load_settings(jwt_secret_key=KEY).port == 8000


@pytest.mark.parametrize("command", ["up", "serve"])
def test_two_values_of_a_secret_stop_the_start(command: str, tmp_path: Path) -> None:
    path = kept(tmp_path, "jwt", KEY)
    shown = run(command, cwd=tmp_path, JWT_SECRET_KEY="e" * 40, JWT_SECRET_KEY_FILE=path)
    assert shown.returncode == 2
    assert shown.stderr == "llama-service: JWT_SECRET_KEY and JWT_SECRET_KEY_FILE are both set: keep one of them\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "the file can't be read (No such file or directory)"),
        ("folder", "the file can't be read (Is a directory)"),
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"\xff\xfe4711\n", "the file holds no text"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_without_its_content(
    content: bytes | str | None, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    shown = run("migrate", cwd=tmp_path, JWT_SECRET_KEY=KEY, OPENAI_API_KEY_FILE=str(path))
    assert shown.returncode == 2
    assert shown.stderr == f"llama-service: OPENAI_API_KEY_FILE={path}: {why}\n"


def test_a_wrong_value_in_a_file_is_not_shown(tmp_path: Path) -> None:
    shown = run("migrate", cwd=tmp_path, JWT_SECRET_KEY_FILE=kept(tmp_path, "jwt", "short-4711"))
    assert shown.returncode == 2
    assert shown.stderr == "llama-service: JWT_SECRET_KEY=***: allowed: a random string of at least 32 characters\n"


def test_a_password_within_an_address_is_not_shown(tmp_path: Path) -> None:
    shown = run("migrate", cwd=tmp_path, JWT_SECRET_KEY=KEY, CHROMA_URL="ftp://anna:4711@chroma")
    assert (shown.returncode, "4711" in shown.stderr, "ftp://***@chroma" in shown.stderr) == (2, False, True)


def test_children_of_up_are_not_told_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("jwt_secret_key_file", kept(tmp_path, "jwt", KEY))
    monkeypatch.setenv("OPENAI_API_KEY_FILE", kept(tmp_path, "openai", "sk-4711"))
    monkeypatch.setenv("JWT_SECRET_KEY_PREVIOUS_FILE", kept(tmp_path, "previous", "p" * 40))
    settings = load_settings()
    given = service_environment(settings, {"CHROMA_URL": "http://127.0.0.1:1", "CHROMA_TOKEN": "t"})
    with monkeypatch.context() as child:
        for name in ("jwt_secret_key_file", "OPENAI_API_KEY_FILE", "JWT_SECRET_KEY_PREVIOUS_FILE"):
            child.delenv(name)
        for name, value in given.items():
            child.setenv(name, value)
        theirs = load_settings()
    assert theirs.jwt_secret_key.get_secret_value() == KEY
    assert theirs.jwt_secret_key_previous == settings.jwt_secret_key_previous
    assert theirs.openai_api_key == settings.openai_api_key


def test_a_replaced_setting_has_no_second_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Chroma_Token_File", "/nowhere")
    with pytest.raises(SettingsError):
        load_settings(jwt_secret_key=KEY)
    given = environment_with({"CHROMA_TOKEN": "t"})
    assert (given["CHROMA_TOKEN"], "Chroma_Token_File" in given) == ("t", False)
