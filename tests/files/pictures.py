"""Pictures of text, drawn by Pillow, and scans made of them."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont


def drawn(lines: Sequence[str]) -> Image.Image:
    """Return a white page with some lines on it."""
    page = Image.new("L", (1240, 200 + 70 * len(lines)), 255)
    for number, line in enumerate(lines):
        ImageDraw.Draw(page).text((90, 90 + 70 * number), line, fill=0, font=ImageFont.load_default(40))
    return page


def saved(pages: Sequence[Sequence[str]], kind: str) -> bytes:
    """Return pages of lines as one file: a picture, a TIFF or a scanned PDF of several."""
    first, *others = [drawn(lines) for lines in pages]
    out = io.BytesIO()
    more = {"save_all": True, "append_images": others} if others else {}
    first.save(out, kind, **more)
    return out.getvalue()
