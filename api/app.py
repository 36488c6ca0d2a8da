"""The application: made by `create_app`, opened by its lifespan."""

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware

from api import agent_server, description, errors, langserve, pages
from api.lifespan import lifespan
from api.middleware import BodyLimitMiddleware, RequestMiddleware
from api.openai import responses as openai_responses
from api.openai import routes as openai
from api.recent import RecentErrors
from api.root_path import RootPathMiddleware
from api.routes import (
    admin,
    announcements,
    api_keys,
    assistants,
    audit,
    auth,
    budgets,
    chat,
    conversations,
    files,
    groups,
    health,
    libraries,
    mcp_servers,
    messages,
    model_rules,
    models,
    oidc,
    personal,
    projects,
    prompts,
    retention,
    search,
    shares,
    stats,
    studio,
    tools,
    two_factor,
)
from graphs.chat import Builder, builder
from llama_service import __version__, tracing
from llama_service.settings import Settings

PREFIX = "/api/v1"
_DESCRIPTION = """
Chat that answers from your own files, with citations. Sign in by `POST /api/v1/auth/login` (the Authorize button does
it), then send the access token as `Authorization: Bearer …`. Programs send an API key in its place, or in `x-api-key`;
each route names its scope in `x-scope`, and takes no key where it names none. Errors come in one envelope:
`{"error": {"code", "message", "request_id", "details"?}}`.
"""


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0] if route.tags else 'app'}_{route.name}"


def _telemetry() -> TelemetryConfig:
    """Return what FastAPI tells of requests: spans, where this process is traced; their numbers are in `/metrics`."""
    provider = tracing.provider()
    return TelemetryConfig(
        tracing=provider is not None,
        tracer_provider=provider,
        metrics=False,
        logs=False,
        operation_spans=False,
        auto_configure=False,
    )


def create_app(settings: Settings, chat_graph: Builder = builder) -> FastAPI:
    """Return the application for these settings and this graph. Nothing is opened before its lifespan begins."""
    app = FastAPI(
        title="llama-service",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        telemetry=_telemetry(),
    )
    app.state.settings = settings
    app.state.chat_graph = chat_graph
    app.state.recent_errors = RecentErrors()
    errors.install(app)
    # Routes are tried one after the other, so what models are asked by comes first.
    app.include_router(openai.answers_router)
    app.include_router(openai_responses.router)
    app.include_router(openai.router)
    api = APIRouter(prefix=PREFIX)
    for module in (
        chat,
        auth,
        oidc,
        two_factor,
        api_keys,
        conversations,
        messages,
        files,
        search,
        models,
        stats,
        admin,
        studio,
    ):
        api.include_router(module.router)
    for module in (
        tools,
        mcp_servers,
        projects,
        assistants,
        prompts,
        personal,
        shares,
        groups,
        libraries,
        budgets,
        model_rules,
        retention,
        audit,
        announcements,
    ):
        api.include_router(module.router)
    app.include_router(api)
    app.include_router(health.router)
    app.include_router(agent_server.router)
    langserve.install(app)
    description.install(app)
    pages.install(app, settings.ui_dir, settings.root_path)
    everywhere = "*" in settings.allowed_origins
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"] if everywhere else settings.allowed_origins,
        # A wildcard with credentials would hand every site the cookie's power.
        allow_credentials=not everywhere,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["X-Request-ID", "Retry-After"],
    )
    app.add_middleware(BodyLimitMiddleware, settings.max_message_chars)
    app.add_middleware(RequestMiddleware)
    app.add_middleware(RootPathMiddleware, settings.root_path)
    return app
