"""A service behind a path (`ROOT_PATH=/ai`): addresses with and without that path lead to the same routes."""

from starlette._utils import get_route_path
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send


class RootPathMiddleware:
    """Gives each request the root path that routing, redirects and LangServe's playground read.

    A proxy may hand the path on or cut it off, and probes of the inside ask without it: ASGI wants it in `path`.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._root and scope["type"] in ("http", "websocket"):
            path: str = scope["path"]
            if path == self._root:
                path = f"{self._root}/"
            elif not path.startswith(f"{self._root}/"):
                path = self._root + path
            scope = dict(scope, path=path, root_path=self._root)
        await self._app(scope, receive, send)


def path_of(request: HTTPConnection) -> str:
    """Return a request's path as routes are written: without the root path."""
    return get_route_path(request.scope)


def cookie_path(root_path: str) -> str:
    """Return the path that cookies of ours are sent for."""
    return root_path or "/"
