"""Pictures: the text that is recognised in them, page by page."""

from pathlib import Path

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder
from ingestion.loaders.recognition import Recogniser

_SMALLEST = 1000  # pixels of the longer side: what is smaller is enlarged, as tesseract wants letters of 20 or more
_LARGEST = 80_000_000  # pixels


def load_picture(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Recognise the text in a picture; a TIFF may have pages. Raises ExtractionFailed: corrupt, too_large, no_text."""
    from PIL import Image, ImageOps, ImageSequence

    Image.MAX_IMAGE_PIXELS = _LARGEST
    builder = Builder(limits)
    recogniser = Recogniser(limits.seconds)
    pages = 0
    try:
        with Image.open(path) as picture:
            for frame in ImageSequence.Iterator(picture) if mime == "image/tiff" else (picture,):
                if pages >= limits.pages or not recogniser.has_time:
                    break
                pages += 1
                upright = ImageOps.exif_transpose(frame).convert("L")
                if max(upright.size) < _SMALLEST:
                    upright = upright.resize((upright.width * 2, upright.height * 2))
                start = builder.length
                if text := recogniser.read(upright):
                    builder.add(text)
                    builder.mark(start, "page", str(pages))
                    builder.mark(start, "recognised", "")
    except Image.DecompressionBombError:
        raise ExtractionFailed("too_large", "This picture has more pixels than the server reads.") from None
    except (OSError, SyntaxError, ValueError):
        raise ExtractionFailed("corrupt", "This picture is damaged and can't be read.") from None
    return builder.build(mime, pages)
