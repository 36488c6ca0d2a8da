"""Write the digests of the images that the Dockerfile and the compose file name: `make pin-images`.

A tag is what its owner says today; a digest is one image for good. deploy/images.env then holds, for each *_IMAGE
variable, its default with the digest. Needs docker with buildx and the network; nothing is pulled.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
TARGET = DEPLOY / "images.env"


def images() -> dict[str, str]:
    """Return the images' variables and their defaults."""
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    compose = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    found = re.findall(r"^ARG (\w+_IMAGE)=(\S+)", dockerfile, re.MULTILINE)
    return dict(sorted(found + re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", compose)))


def digest_of(image: str) -> str:
    """Return the digest that an image's tag points at, in all its platforms. Exits where the registry has none."""
    command = ["docker", "buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", image]
    shown = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if shown.returncode != 0:
        sys.exit(f"pin_images: {image} was not found")
    digest = str(json.loads(shown.stdout)["digest"])
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        sys.exit(f"pin_images: {image} has no digest, but {digest!r}")
    return digest


def main(target: Path = TARGET) -> None:
    """Ask for all of them, then write all of them."""
    if shutil.which("docker") is None:
        sys.exit("pin_images: docker is not installed, and nothing else here asks a registry of images")
    lines = [f"{name}={image}@{digest_of(image)}\n" for name, image in images().items()]
    target.write_text("# Written by `make pin-images`.\n" + "".join(lines), encoding="utf-8")
    print(f"pin_images: wrote {target}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
