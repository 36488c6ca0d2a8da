"""E-mail: eml (RFC 5322) and Outlook's msg, with the documents attached to it."""

import codecs
import email
import email.policy
from collections.abc import Iterator, Sequence
from email.message import EmailMessage, MIMEPart
from pathlib import Path

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder, flat
from ingestion.loaders.encoding import decode_as
from ingestion.loaders.nested import include_all

_SHOWN_HEADERS = ("From", "To", "Cc", "Date")
_TEXTS = frozenset(("text/plain", "text/html"))
_DEEPEST = 50


def load_eml(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read subject, people, date, body (plain before HTML) and attachments."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    if not isinstance(message, EmailMessage):
        raise ExtractionFailed("corrupt", "This e-mail is damaged and can't be read.")
    builder = Builder(limits)
    headers = [(key, flat(str(message[key] or ""))) for key in _SHOWN_HEADERS]
    _write(builder, flat(str(message["Subject"] or "")), headers)
    attached: list[MIMEPart] = []
    for part in _shown(message, attached):
        _body(builder, _content(part), html=part.get_content_type() == "text/html")
    _attachments(builder, [_attached(part) for part in attached], limits)
    return builder.build(mime)


def _shown(part: MIMEPart, attached: list[MIMEPart], deep: int = 0) -> Iterator[MIMEPart]:
    """Yield the parts that a mail program shows as text, in their order; what is attached is put into `attached`.

    Text may stand in several parts: before and after an attachment, with a list's footer, inside of a signed part.
    """
    if deep > _DEEPEST:
        raise ExtractionFailed("corrupt", "This e-mail is nested too deeply to be read.")
    kind = part.get_content_type()
    if kind == "message/rfc822" or part.is_attachment() or part.get_filename():
        attached.append(part)
    elif kind == "multipart/alternative":
        yield from _alternative(part, attached, deep + 1)
    elif part.is_multipart():
        for child in part.iter_parts():
            if isinstance(child, MIMEPart):
                yield from _shown(child, attached, deep + 1)
    elif kind in _TEXTS:
        yield part


def _alternative(part: MIMEPart, attached: list[MIMEPart], deep: int) -> Iterator[MIMEPart]:
    choices = [child for child in part.iter_parts() if isinstance(child, MIMEPart)]
    chosen = _chosen(choices)
    for child in choices:
        if child is chosen:
            yield from _shown(child, attached, deep)
        elif child.is_multipart():
            attached.extend(_only_attached(child, deep))


def _chosen(choices: Sequence[MIMEPart]) -> MIMEPart | None:
    """Return the alternative to read: the plain text unless it is empty, or the last one that holds a page.

    An invitation has its calendar's data as the last alternative, which no program shows.
    """
    for choice in choices:
        if choice.get_content_type() == "text/plain" and _content(choice).strip():
            return choice
    pages = (one for one in reversed(choices) if one.get_content_type() == "text/html" or one.is_multipart())
    return next(pages, None)


def _only_attached(part: MIMEPart, deep: int) -> Iterator[MIMEPart]:
    """Yield what is attached inside of an alternative that is not read: Apple's Mail puts files beside the page there.

    The pictures of the page itself go with it.
    """
    attached: list[MIMEPart] = []
    for _ in _shown(part, attached, deep):
        pass
    for one in attached:
        if one.is_attachment() or one.get_content_maintype() != "image":
            yield one


def load_msg(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read an Outlook message like any other e-mail."""
    from oxmsg import Message

    with path.open("rb") as file:
        message = Message.load(file)
    builder = Builder(limits)
    people = ", ".join(_person(recipient.name, recipient.email_address) for recipient in message.recipients)
    sent = message.sent_date.isoformat(" ") if message.sent_date else ""
    headers = [("From", message.sender or ""), ("To", people), ("Date", sent)]
    _write(builder, message.subject or "", headers)
    if message.body:
        _body(builder, message.body, html=False)
    elif message.html_body:
        _body(builder, message.html_body, html=True)
    attached = [(attachment.file_name or "", attachment.file_bytes or b"") for attachment in message.attachments]
    _attachments(builder, attached, limits)
    return builder.build(mime)


def _of_windows(name: str) -> codecs.CodecInfo | None:
    """Find the code pages that Outlook names and Python has under another name, as `windows-950`."""
    page = name.replace("_", "-").removeprefix("windows-")
    return codecs.lookup(f"cp{page}") if page.isdecimal() and page != name else None


codecs.register(_of_windows)  # at import: each call would add another search


def _person(name: str | None, address: str | None) -> str:
    return f"{name} <{address}>" if name and address and name != address else name or address or ""


def _write(builder: Builder, subject: str, headers: Sequence[tuple[str, str]]) -> None:
    builder.heading(subject, 1)
    lines = [f"{key}: {value}" for key, value in headers if value]
    if lines:
        builder.add("\n".join(lines))


def _body(builder: Builder, text: str, *, html: bool) -> None:
    if html:
        from ingestion.loaders.markup import add_html

        add_html(builder, text, shift=1)
    elif text.strip():
        builder.add(text.strip())


def _attachments(builder: Builder, attached: Sequence[tuple[str, bytes]], limits: Limits) -> None:
    named = [(flat(name), data) for name, data in attached if name.strip()]
    if named:
        builder.add("Attachments: " + ", ".join(name for name, _ in named))
        include_all(builder, [(name, data) for name, data in named if data], limits, level=2)


def _attached(part: MIMEPart) -> tuple[str, bytes]:
    """Return an attachment's name and bytes; a forwarded message has no name but its subject."""
    if part.get_content_type() == "message/rfc822":
        inner = part.get_content()
        name = f"{flat(str(inner['Subject'] or 'message'))}.eml"
        try:
            return name, inner.as_bytes()
        except (LookupError, ValueError, TypeError):  # of an alphabet that it does not have: named, not read
            return name, b""
    data = part.get_payload(decode=True)
    return part.get_filename() or "", data if isinstance(data, bytes) else b""


def _content(part: MIMEPart) -> str:
    payload = part.get_payload(decode=True)
    return decode_as(payload, part.get_content_charset()) if isinstance(payload, bytes) else ""
