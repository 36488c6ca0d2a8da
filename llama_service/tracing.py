"""OpenTelemetry traces, sent by OTLP where `OTEL_EXPORTER_OTLP_ENDPOINT` names a place; else nothing is made.

A trace is a request, the run that it began, the graph's nodes, the calls of models and tools in them and the statements
to the database; a file's trace is its job. Names and attributes are those of OpenTelemetry's conventions for HTTP,
databases and generative AI. What people and models say is left out unless the operator asks for it.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from llama_service import __version__
from llama_service.settings import Settings

_PATIENCE: Final = 3  # seconds: a collector that never answers must not keep a process from ending
_BEGINS: Final = (SpanKind.SERVER, SpanKind.CONSUMER)

_provider: TracerProvider | None = None
_tracer: trace.Tracer | None = None
_shows_text = False


class _Begun(Sampler):
    """Traces begin with a request, a run or a job; what a process does by itself (leases, chores) is none."""

    def __init__(self, share: float) -> None:
        self._share = TraceIdRatioBased(share)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide on a span without a parent."""
        if kind not in _BEGINS:
            return SamplingResult(Decision.DROP)
        return self._share.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Return what this is."""
        return f"requests, runs and jobs; {self._share.get_description()}"


class _Cleaned(SpanExporter):
    """Sends spans without what somebody typed or may come in by: query strings, ids in paths, texts of exceptions.

    Those are what FastAPI and the instrumentations of the database's drivers note by themselves.
    """

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans."""
        return self._inner.export([_cleaned(span) for span in spans])

    def shutdown(self) -> None:
        """End."""
        self._inner.shutdown()


def _cleaned(span: ReadableSpan) -> ReadableSpan:
    told = {name: value for name, value in (span.attributes or {}).items() if not name.startswith("url.")}
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=told,
        links=span.links,
        kind=span.kind,
        status=trace.Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def start_tracing(settings: Settings) -> None:
    """Begin to trace this process where the settings name a place for traces; call it before anything is opened."""
    global _provider, _tracer, _shows_text
    if settings.otel_exporter_otlp_endpoint is None:
        return
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

    headers = settings.otel_exporter_otlp_headers
    exporter: SpanExporter = OTLPSpanExporter(
        endpoint=f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces",
        headers=dict(_pairs(headers.get_secret_value())) if headers else None,
        timeout=_PATIENCE,
    )
    _shows_text = settings.otel_instrumentation_genai_capture_message_content
    resource = Resource.create({"service.name": settings.otel_service_name, "service.version": __version__})
    _provider = TracerProvider(sampler=ParentBased(_Begun(settings.otel_traces_sampler_arg)), resource=resource)
    _provider.add_span_processor(BatchSpanProcessor(_Cleaned(exporter)))
    _tracer = _provider.get_tracer("llama-service", __version__)
    AsyncPGInstrumentor().instrument(tracer_provider=_provider)  # type: ignore[no-untyped-call]
    PsycopgInstrumentor().instrument(tracer_provider=_provider)


def stop_tracing() -> None:
    """Send what waits."""
    if _provider is not None:
        _provider.shutdown()


def provider() -> TracerProvider | None:
    """Return where spans are made, None where nothing is traced."""
    return _provider


@contextmanager
def span(
    name: str,
    attributes: Mapping[str, Any] | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    no_failure: tuple[type[BaseException], ...] = (),
) -> Iterator[Span]:
    """Trace a block: what begins in it is below it.

    An error ends it as one, by its class alone, since texts may say much; but for one of `no_failure`, and for work
    that somebody has stopped.
    """
    if _tracer is None:
        yield trace.INVALID_SPAN
        return
    with _tracer.start_as_current_span(
        name, kind=kind, attributes=_known(attributes), record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except BaseException as error:
            if not isinstance(error, (asyncio.CancelledError, *no_failure)):
                note_error(made, error)
            raise


def begin_span(name: str, attributes: Mapping[str, Any], kind: SpanKind = SpanKind.CLIENT) -> Span:
    """Begin a span below the current one, without becoming current: for generators, whose caller goes on between."""
    if _tracer is None:
        return trace.INVALID_SPAN
    return _tracer.start_span(name, kind=kind, attributes=_known(attributes))


def note_error(made: Span, error: BaseException) -> None:
    """Note that what a span stands for has failed."""
    made.set_attribute("error.type", getattr(error, "code", None) or type(error).__name__)
    made.set_status(trace.StatusCode.ERROR)


def note(attributes: Mapping[str, Any]) -> None:
    """Note something at the current span."""
    if _tracer is not None:
        trace.get_current_span().set_attributes(_known(attributes))


def trace_id() -> str | None:
    """Return the current trace's id as logs show it."""
    if _tracer is None:
        return None
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def shows_text() -> bool:
    """Whether the operator wants to see what people and models say."""
    return _shows_text


def _known(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if value is not None}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for pair in text.split(","):
        name, separator, value = pair.partition("=")
        if separator:
            yield name.strip().lower(), unquote(value.strip())
