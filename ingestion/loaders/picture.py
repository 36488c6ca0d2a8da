"""Pictures by tesseract, where it is installed."""

import shutil
import subprocess
from pathlib import Path

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder

_WANTED = ("eng", "rus")


def load_picture(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Recognise the text in a picture. Raises ExtractionFailed(unsupported) where tesseract is missing."""
    tesseract = shutil.which("tesseract")
    if tesseract is None:
        raise ExtractionFailed("unsupported", "Pictures can't be read here: text recognition is not installed.")
    listed = subprocess.run([tesseract, "--list-langs"], capture_output=True, text=True, check=False)  # noqa: S603
    languages = [language for language in _WANTED if language in listed.stdout.split()] or ["eng"]
    command = [tesseract, str(path), "stdout", "-l", "+".join(languages)]
    result = subprocess.run(command, capture_output=True, timeout=limits.seconds, check=False)  # noqa: S603
    if result.returncode != 0:
        raise ExtractionFailed("corrupt", "This picture is damaged and can't be read.")
    builder = Builder(limits)
    text = result.stdout.decode(errors="replace").strip()
    if text:
        builder.add(text)
    return builder.build(mime, 1)
