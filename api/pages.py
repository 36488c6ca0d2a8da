"""The bundled page: hashed files for ever, page routes by `index.html`, and the API's own documentation, offline."""

import re
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from api.errors import APIS
from api.middleware import PAGE_POLICY
from llama_service.errors import MethodNotAllowed, NotFound

# The page's router (ui/src/app/router.tsx) knows these; anything else that is no file is not found.
_PAGES = re.compile(
    r"(c/[^/]+|files|libraries(/[^/]+)?|groups|assistants|prompts|projects/[^/]+|shared/[^/]+|sign-in|account|admin|studio(/[^/]+)?|reset-password)?/?"
)
_FOR_PROGRAMS = (*APIS, "langserve/", "assets/", "docs-assets/")
_FOREVER = "public, max-age=31536000, immutable"
_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
}

_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>llama-service API</title><link rel="stylesheet" href="{root}/docs-assets/swagger-ui.css"></head>
<body><div id="swagger"></div><script src="{root}/docs-assets/swagger-ui-bundle.js"></script>
<script src="{root}/docs-assets/start.js"></script></body></html>
"""
_DOCS_START = (
    'window.ui = SwaggerUIBundle({{url: "{root}/openapi.json", dom_id: "#swagger", deepLinking: true, '
    "persistAuthorization: false, tryItOutEnabled: true}});\n"
)
_MISSING = """<!doctype html><html lang="en"><meta charset="utf-8"><title>llama-service</title>
<body style="font: 16px system-ui; max-width: 40em; margin: 4em auto">
<h1>The page is not built</h1><p>Run <code>make ui</code>, then reload. The API is at
<a href="{root}/docs">/docs</a>.</p>
"""


def find_ui(configured: Path | None) -> Path | None:
    """Return the folder of the built page, or None where it was not built."""
    folder = configured or Path(__file__).resolve().parent.parent / "ui" / "dist"
    return folder if (folder / "index.html").is_file() else None


def _send(path: Path, request: Request, cache: str) -> Response:
    headers = {"Cache-Control": cache, "Vary": "Accept-Encoding"}
    kind = _TYPES.get(path.suffix, "application/octet-stream")
    accepted = request.headers.get("accept-encoding", "")
    for name, suffix in _ENCODINGS:
        packed = path.with_name(path.name + suffix)
        if name in accepted and packed.is_file():
            return FileResponse(packed, media_type=kind, headers={**headers, "Content-Encoding": name})
    return FileResponse(path, media_type=kind, headers=headers)


def install(app: FastAPI, configured: Path | None, root: str) -> None:
    """Add the routes of page and documentation. They come last: they answer what nothing else did."""
    folder = find_ui(configured)
    page = _Page(folder, root)
    _install_docs(app, folder, root)

    @app.get("/playground", include_in_schema=False)
    async def playground() -> RedirectResponse:
        return RedirectResponse(f"{root}/langserve/chat/playground/")

    @app.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def files(path: str, request: Request) -> Response:
        if _PAGES.fullmatch(path):
            return page.answer()
        found = _find(folder, path)
        if found is not None:
            return _send(found, request, _FOREVER if path.startswith("assets/") else "no-cache")
        if _is_for_a_person(path, request):
            return page.answer(status=404)
        if path.startswith(APIS):
            # It matched here because of its method alone, or not even so; who answers for it tells which.
            raise MethodNotAllowed
        raise NotFound


def _find(folder: Path | None, path: str) -> Path | None:
    if folder is None or "\x00" in path or path.startswith("."):
        return None
    found = (folder / path).resolve()
    return found if found.is_file() and found.is_relative_to(folder.resolve()) else None


def _is_for_a_person(path: str, request: Request) -> bool:
    """Whether a browser opens a mistyped address; programs, and whoever asks the API, get the error as JSON."""
    return "text/html" in request.headers.get("accept", "") and not path.startswith(_FOR_PROGRAMS)


class _Page:
    """`index.html`, with its addresses below the root path; read once for each build of it."""

    def __init__(self, folder: Path | None, root: str) -> None:
        self._path = folder / "index.html" if folder else None
        self._root = root
        self._read: tuple[float, bytes] = (0.0, b"")

    def answer(self, *, status: int = 200) -> Response:
        """Return the page."""
        if self._path is None:
            return HTMLResponse(_MISSING.format(root=self._root), status_code=503)
        written = self._path.stat().st_mtime
        if written != self._read[0]:
            built = self._path.read_text(encoding="utf-8")
            # The build writes addresses relative to the page, which is answered at many of them.
            text = re.sub(r'((?:src|href)=")\./', rf"\1{self._root}/", built)
            text = text.replace('name="root-path" content=""', f'name="root-path" content="{self._root}"')
            self._read = (written, text.encode())
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": PAGE_POLICY}
        return HTMLResponse(self._read[1], status_code=status, headers=headers)


def _install_docs(app: FastAPI, folder: Path | None, root: str) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_DOCS.format(root=root), headers={"Content-Security-Policy": PAGE_POLICY})

    @app.get("/docs-assets/start.js", include_in_schema=False)
    async def docs_start() -> Response:
        return Response(_DOCS_START.format(root=root), media_type="text/javascript")

    @app.get("/docs-assets/{name}", include_in_schema=False)
    async def docs_assets(name: str, request: Request) -> Response:
        path = folder / "docs" / name if folder else None
        if path is None or name not in ("swagger-ui.css", "swagger-ui-bundle.js") or not path.is_file():
            raise NotFound
        return _send(path, request, "public, max-age=86400")
