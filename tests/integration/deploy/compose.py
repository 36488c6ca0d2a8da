"""What docker compose would make of deploy/compose.yaml: services, commands, environments, in the order of the file."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the compose file, with variables filled in.

    `waits_for` are services and the condition of each.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    healthcheck: list[str] | None
    waits_for: dict[str, str]
    stop_grace_seconds: float


def image_environment() -> dict[str, str]:
    """Return the variables that the image sets."""
    text = _dockerfile()
    lines = re.findall(r"^ENV (.*)$", text, re.MULTILINE)
    return dict(pair.split("=", 1) for line in lines for pair in line.split() if not pair.startswith("PATH="))


def image_healthcheck() -> list[str]:
    """Return the command that says whether the image's container is well."""
    (command,) = re.findall(r"^HEALTHCHECK .*? CMD (\[.*\])$", _dockerfile(), re.MULTILINE)
    read: list[str] = json.loads(command)
    return read


def _dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """Fill variables in as compose does: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        given = variables.get(name, "")
        if not given and kind == "?":
            raise KeyError(f"{name}: {rest}")
        return given or (rest if kind == "-" else "")

    return _VARIABLE.sub(value, text)


def read(variables: Mapping[str, str]) -> dict[str, Service]:
    """Return the services that our own image runs; `variables` is what deploy/.env holds."""
    described = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return {
        name: _service(name, service, variables)
        for name, service in described.items()
        if "llama-service" in service["image"]
    }


def _service(name: str, service: dict[str, Any], variables: Mapping[str, str]) -> Service:
    given = {key: filled_in(str(value), variables) for key, value in service["environment"].items()}
    env_file = dict(variables) if service.get("env_file") else {}
    check = service.get("healthcheck", {})
    return Service(
        name,
        [filled_in(word, variables) for word in service["command"]],
        {**image_environment(), **env_file, **given},
        None if check.get("disable") else check["test"][1:] if "test" in check else image_healthcheck(),
        {one: wanted["condition"] for one, wanted in service.get("depends_on", {}).items()},
        float(str(service.get("stop_grace_period", "10s")).removesuffix("s")),
    )


def in_order(services: Mapping[str, Service]) -> Iterator[Service]:
    """Yield services so that each comes after those that it waits for."""
    done: set[str] = set()
    while len(done) < len(services):
        ready = [
            one for one in services.values() if one.name not in done and not set(one.waits_for) & services.keys() - done
        ]
        assert ready, "services wait for each other"
        for one in ready:
            done.add(one.name)
            yield one
