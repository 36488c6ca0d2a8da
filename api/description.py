"""The OpenAPI document: what the routes say, and what holds for all of them."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.errors import responses
from api.scopes import scope_of
from llama_service import errors

_ENVELOPE = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorEnvelope"}}}
_UNSAFE = {"post", "put", "patch", "delete"}
_ALLOW = {"Allow": {"description": "The methods of this address.", "schema": {"type": "string"}}}


def install(app: FastAPI) -> None:
    """Let the application describe itself by `describe`."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(plain())
            _name_scopes(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to change the document


def _name_scopes(app: FastAPI) -> None:
    """Tell of each operation the scope that an API key needs for it, where one is good for it."""
    paths: dict[str, Any] = app.openapi()["paths"]
    for route in iter_route_contexts(app.routes):
        endpoint = getattr(route, "endpoint", None)
        scope = scope_of(str(route.path), endpoint) if endpoint else None
        for method in route.methods or () if scope else ():
            if operation := paths.get(str(route.path), {}).get(method.lower()):
                operation["x-scope"] = scope


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """Add to every operation the answers that none of them can avoid.

    Bodies that are no UTF-8 or no JSON (400), cookies without their guard (403), other methods (405), values that do
    not fit (422, in our envelope instead of FastAPI's), and a database that is away (503).
    """
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            found = operation["responses"]
            if "requestBody" in operation:
                _add(found, errors.BadRequest)
            if operation.get("security") and method in _UNSAFE:
                _add(found, errors.Forbidden)
            if path.startswith("/api/"):
                _add(found, errors.DependencyUnavailable)
            _add(found, errors.MethodNotAllowed)
            found["405"]["headers"] = _ALLOW
            if "422" in found:
                found["422"] |= {"content": _ENVELOPE, "description": found["422"]["description"]}
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    return document


def _add(found: dict[str, Any], kind: type[errors.AppError]) -> None:
    ((status, entry),) = responses(kind).items()
    if str(status) not in found:
        found[str(status)] = {"content": _ENVELOPE, "description": entry["description"]}
    elif f"`{kind.code}`" not in found[str(status)]["description"]:
        found[str(status)]["description"] += f"\n\n{entry['description']}"
