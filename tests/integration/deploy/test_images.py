"""The Dockerfile by its linter, and the digests that a release is pinned to; no registry of images is asked here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import pin_images

HADOLINT = Path(sys.executable).with_name("hadolint")
# As `docker buildx imagetools inspect --format '{{json .Manifest}}' IMAGE` answers, for all but one image.
DOCKER = """#!/bin/sh
test "$1 $2 $3 $4 $5" = "buildx imagetools inspect --format {{json .Manifest}}" || exit 64
case $6 in *absent*) echo "ERROR: $6: not found" >&2; exit 1;; esac
printf '{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:%064d", "size": 1}' "${#6}"
"""


@pytest.mark.skipif(not HADOLINT.exists(), reason="the registry has a hadolint for Linux alone")
def test_the_linter_finds_nothing(tmp_path: Path) -> None:
    linted = subprocess.run([HADOLINT, pin_images.DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout
    worse = tmp_path / "Dockerfile"
    worse.write_text("FROM python:latest\nRUN cd /tmp\n")
    assert subprocess.run([HADOLINT, worse], capture_output=True, check=False).returncode == 1


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a docker before the system's that knows every image but those called absent."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("docker")
def test_every_image_is_pinned(tmp_path: Path) -> None:
    target = tmp_path / "images.env"
    pin_images.main(target)
    lines = target.read_text().splitlines()[1:]
    pinned = dict(line.split("=", 1) for line in lines)
    assert set(pinned) == {"CHROMA_IMAGE", "NGINX_IMAGE", "OLLAMA_IMAGE", "POSTGRES_IMAGE", "PYTHON_IMAGE"}
    for name, image in pin_images.images().items():
        assert pinned[name] == f"{image}@sha256:{len(image):064d}"


@pytest.mark.usefixtures("docker")
def test_an_image_that_is_not_there_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="absent:1 was not found"):
        pin_images.digest_of("absent:1")
    assert "not found" in capfd.readouterr().err


def test_without_docker_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="docker is not installed"):
        pin_images.main(tmp_path / "images.env")
    assert not (tmp_path / "images.env").exists()


def test_no_image_is_named_that_can_not_be_pinned() -> None:
    dockerfile = (pin_images.DEPLOY / "Dockerfile").read_text()
    stages = {line.split()[-1] for line in dockerfile.splitlines() if line.startswith("FROM ")}
    for line in dockerfile.splitlines():
        if line.startswith("FROM "):
            assert line.split()[1] in stages | {"${PYTHON_IMAGE}"}
    for line in (pin_images.DEPLOY / "compose.yaml").read_text().splitlines():
        if line.strip().startswith("image:"):
            image = line.split(maxsplit=1)[1]
            assert image.startswith("llama-service") or "_IMAGE:-" in image
