"""One round of tool calls: which run at once, which wait for a person, and what each of them gave."""

import asyncio
import errno
import json
import secrets
import string
import time
from collections.abc import Sequence
from typing import Any

import orjson
import structlog
from langchain_core.messages import ToolMessage
from langchain_core.tools import ToolException
from langgraph.config import get_stream_writer
from langgraph.types import interrupt
from opentelemetry.trace import StatusCode
from pydantic import ValidationError

from chains.types import ToolCall
from graphs.context import ChatContext, TurnServices
from graphs.sources import holding, next_number, passages_behind, reference, shown_sources
from graphs.state import ChatState, SourceReference, ToolStep
from graphs.toolbox import AT_ONCE, CALL_SECONDS, MAX_CALLS, Toolbox, result_chars
from graphs.tools.spec import ToolContext, ToolSpec
from llama_service import tracing
from llama_service.errors import AppError
from persistence.decisions import decisions_of
from persistence.search import Found, ScopeFile
from persistence.session import DATABASE_AWAY

log = structlog.get_logger(__name__)

# What the system says of disks and memory; it says other things of a database that is away.
_OF_THIS_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOMEM}
)
_PREVIEW = 400  # characters of a result that people see at once
_ID = string.ascii_letters + string.digits
_UNKNOWN_EFFECT = (
    "The server was stopped while this tool ran, so it is not known whether it took effect. It was not run again."
)
_DENIED = "The user did not allow this call."


def new_steps(calls: Sequence[ToolCall], toolbox: Toolbox) -> list[ToolStep]:
    """Return the calls that a model asks for, each with an id of ours: what providers give is not unique."""
    steps = []
    for number, call in enumerate(calls):
        spec = toolbox.specs.get(call.name)
        arguments, problem = _arguments(call.arguments)
        if spec is None:
            known = ", ".join(toolbox.specs) or "none"
            problem = f"There is no tool of this name. The tools are: {known}."
        elif number >= MAX_CALLS:
            problem = f"Too many calls at once: the first {MAX_CALLS} were made."
        steps.append(
            ToolStep(
                # Nine letters and digits, which is all that Mistral's models take.
                id="".join(secrets.choice(_ID) for _ in range(9)),
                name=call.name[:128],
                title=spec.title if spec else call.name[:128],
                arguments=arguments,
                problem=problem,
                status="pending",
                content="",
                sources=[],
                file_ids=[],
                shared=False,
                ms=None,
            )
        )
    return steps


def _arguments(text: str) -> tuple[dict[str, Any], str | None]:
    try:
        given = orjson.loads(text.replace("\\u0000", "") or "{}")
    except ValueError:
        return {}, f"The arguments are not valid JSON: {text[:200]}"
    if not isinstance(given, dict):
        return {}, "The arguments are not a JSON object."
    return given, None


def _span_attributes(step: ToolStep, spec: ToolSpec) -> dict[str, Any]:
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": spec.name,
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": step["id"],
    }
    if tracing.shows_text():
        attributes["gen_ai.tool.call.arguments"] = json.dumps(step["arguments"], default=str)
    return attributes


class RoundOfCalls:
    """Runs the calls of a state's last round. `steps` and `sources` are the round's and the turn's, as they stand."""

    def __init__(self, state: ChatState, context: ChatContext, services: TurnServices) -> None:
        # A step that an older version kept names no files.
        self.steps: list[ToolStep] = [
            ToolStep(**{"file_ids": [], "shared": False, **step}) for step in state["rounds"][-1]["steps"]
        ]
        self.sources: list[SourceReference] = list(state.get("sources") or [])
        self._services = services
        window = services.models.context_window(services.plan.provider, services.plan.model)
        self._context = ToolContext(services.files, result_chars(window), context.user_id, services.memory)
        self._write = get_stream_writer()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self, checkpoint_id: str | None) -> None:
        """Bring every step to its end; interrupts the run where some of them need a person's word first."""
        toolbox, asked = self._services.tools, []
        told = set(self._services.record.tool_steps)  # before the run waited, or lost its worker
        for step in self.steps:  # in the model's order, whichever ends first
            spec = toolbox.specs.get(step["name"])
            if step["problem"] is not None or spec is None:
                self._end(step, "failed", step["problem"] or "This tool is not there any more.")
                continue
            asked.append((step, spec))
            if step["id"] not in told:
                self._tell(step, "waiting" if toolbox.waits(spec) else "running")
        rows = [(step["id"], step["name"], "waiting" if toolbox.waits(spec) else "running") for step, spec in asked]
        known = await self._services.calls.begin(rows, checkpoint_id) if rows else {}
        ready, waiting = [], []
        # What has ended before keeps its numbers; new sources are numbered behind it.
        for step, spec in asked:
            record = known[step["id"]]
            if record.result is not None:
                self._recall(step, record.status, record.result)
            elif record.status == "waiting":
                waiting.append((step, spec))
            elif record.is_new or spec.read_only:
                ready.append((step, spec))
            else:
                await self._finish(step, "failed", _UNKNOWN_EFFECT, [], 0)
        # Where the run goes on elsewhere, the sources so far are known by their references.
        await passages_behind(self.sources, self._services)
        await self._call_all(ready)
        while waiting:
            waiting = await self._after_decisions(waiting)

    async def _after_decisions(self, waiting: list[tuple[ToolStep, ToolSpec]]) -> list[tuple[ToolStep, ToolSpec]]:
        """Ask a person about calls, do as they say, and return those about which nothing was said."""
        asked = [{"step_id": step["id"], **{key: step[key] for key in _ASKED}} for step, _ in waiting]  # type: ignore[literal-required]
        decisions = decisions_of(interrupt({"steps": asked}))
        allowed, left = [], []
        for step, spec in waiting:
            decision = decisions.get(step["id"])
            if decision is None:
                left.append((step, spec))
            elif decision["decision"] == "deny":
                comment = decision.get("comment")
                words = f"{_DENIED} They say: {comment}" if comment else _DENIED
                await self._finish(step, "denied", words, [], 0)
            else:
                if decision["decision"] == "edit" and isinstance(decision.get("arguments"), dict):
                    step["arguments"] = decision["arguments"]
                await self._services.calls.set(step["id"], "running", None)
                self._tell(step, "running")
                allowed.append((step, spec))
        await self._call_all(allowed)
        return left

    async def _call_all(self, calls: Sequence[tuple[ToolStep, ToolSpec]]) -> None:
        # No group of tasks: a store that is away has to reach the engine by its own name.
        ended = await asyncio.gather(*(self._call(step, spec) for step, spec in calls), return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _call(self, step: ToolStep, spec: ToolSpec) -> None:
        async with self._slots:
            began = time.perf_counter()
            with tracing.span(f"execute_tool {spec.name}", _span_attributes(step, spec)) as made:
                status, content, artifact = await self._outcome(step, spec)
                if status == "failed":
                    made.set_status(StatusCode.ERROR)
            read = [item for item in artifact if isinstance(item, ScopeFile)]
            step["file_ids"], step["shared"] = [str(file.id) for file in read], any(file.shared for file in read)
            found = [item for item in artifact if isinstance(item, Found)]
            await self._finish(step, status, content, found, round((time.perf_counter() - began) * 1000))

    async def _outcome(self, step: ToolStep, spec: ToolSpec) -> tuple[str, str, Sequence[Any]]:
        """Call a tool; return how that ended, what it told, and the passages or files that it took this from."""
        call = {"type": "tool_call", "id": step["id"], "name": step["name"], "args": step["arguments"]}
        try:
            async with asyncio.timeout(CALL_SECONDS):
                message = await spec.tool.ainvoke(call, self._context.config())
        except TimeoutError:
            return "failed", f"The tool did not answer within {CALL_SECONDS:.0f} seconds.", []
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()[:10])
            return "failed", f"The arguments do not fit: {wrong}", []
        except ToolException as failed:
            return "failed", str(failed)[:4000], getattr(failed, "files", ())
        except AppError as failed:
            return "failed", failed.message, []
        except Exception as error:
            if isinstance(error, DATABASE_AWAY) and getattr(error, "errno", None) not in _OF_THIS_MACHINE:
                raise  # our own store: the run is left to whoever finds it again
            # A tool is anybody's code: whatever it raises is a step that failed, never a turn that did.
            log.warning("tool_failed", tool=spec.name, error=type(error).__name__)
            return "failed", "The tool failed.", []
        assert isinstance(message, ToolMessage)  # noqa: S101  (what a call of this type returns)
        artifact = message.artifact if isinstance(message.artifact, list) else []
        return "done", self._fitting(str(message.text)), artifact

    def _fitting(self, text: str) -> str:
        text = text.replace("\x00", "")
        budget = self._context.budget
        return text if len(text) <= budget else f"{text[:budget]}\n\n(The rest was cut off: {len(text):,} characters.)"

    async def _finish(self, step: ToolStep, status: str, content: str, found: Sequence[Found], ms: int) -> None:
        """Number what a call brought, write down how it ended, and tell the readers."""
        references = [self._number(passage) for passage in found]
        result = {"content": content, "sources": references, "ms": ms}
        result |= {"arguments": step["arguments"], "file_ids": step["file_ids"], "shared": step["shared"]}
        await self._services.calls.set(step["id"], status, result)
        if found:
            record = self._services.record
            numbers = [ref["n"] for ref in self.sources if ref["n"] in record.passages]
            record.sources = shown_sources(record, {n: record.passages[n] for n in numbers})
            self._write({"event": "sources", "sources": record.sources})
        self._end(step, status, content, [ref["n"] for ref in references], ms)

    def _number(self, passage: Found) -> SourceReference:
        """Return the reference of a passage: an earlier one where that holds all of it, else one more."""
        record = self._services.record
        if (known := holding(self.sources, passage)) is not None:
            record.passages.setdefault(known["n"], passage)
            return known
        new = reference(next_number(self.sources, record), passage)
        self.sources.append(new)
        record.passages[new["n"]] = passage
        return new

    def _recall(self, step: ToolStep, status: str, result: dict[str, Any]) -> None:
        """Take over how a call ended that was made before."""
        numbers = {known["n"] for known in self.sources}
        references: list[SourceReference] = result["sources"]
        self.sources += [ref for ref in references if ref["n"] not in numbers]
        step["arguments"] = result["arguments"]
        step["file_ids"], step["shared"] = result.get("file_ids", []), result.get("shared", False)
        self._set(step, status, result["content"], [ref["n"] for ref in references], result["ms"])
        self._note(step, status)

    def _end(self, step: ToolStep, status: str, content: str, sources: Sequence[int] = (), ms: int = 0) -> None:
        self._set(step, status, content, sources, ms)
        self._tell(step, status)

    @staticmethod
    def _set(step: ToolStep, status: Any, content: str, sources: Sequence[int], ms: int) -> None:
        step["status"], step["content"], step["sources"], step["ms"] = status, content, list(sources), ms

    def _tell(self, step: ToolStep, status: str) -> None:
        self._write({"event": "step", "step": self._note(step, status)})

    def _note(self, step: ToolStep, status: str) -> dict[str, Any]:
        """Keep a step as its readers see it, and return it."""
        shown = self._services.record.tool_steps[step["id"]] = public_step(step, status)
        return shown

    def shown(self) -> list[dict[str, Any]]:
        """Return the steps for the trace, with all that the model read of them."""
        return [{key: value for key, value in step.items() if key in _IN_TRACE} for step in self.steps]


_ASKED = ("name", "title", "arguments")
_IN_TRACE = ("id", "name", "arguments", "status", "content", "sources", "file_ids", "shared", "ms")


def public_step(step: ToolStep, status: str) -> dict[str, Any]:
    """Return a step as the API shows it."""
    content = step["content"]
    return {
        "id": step["id"],
        "kind": "tool",
        "name": step["name"],
        "title": step["title"],
        "arguments": step["arguments"],
        "status": status,
        "result_preview": (content if len(content) <= _PREVIEW else content[:_PREVIEW] + "…") or None,
        "sources": step["sources"],
        "file_ids": step["file_ids"],
        "shared": step["shared"],
        "available": True,
        "ms": step["ms"],
    }
