"""E-mail: eml (RFC 5322) and Outlook's msg, with the documents attached to it."""

import email
import email.policy
from collections.abc import Sequence
from email.message import EmailMessage, MIMEPart
from pathlib import Path

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder, flat
from ingestion.loaders.nested import include_all

_SHOWN_HEADERS = ("From", "To", "Cc", "Date")


def load_eml(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read subject, people, date, body (plain before HTML) and attachments."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    if not isinstance(message, EmailMessage):
        raise ExtractionFailed("corrupt", "This e-mail is damaged and can't be read.")
    builder = Builder(limits)
    headers = [(key, flat(str(message[key] or ""))) for key in _SHOWN_HEADERS]
    attachments = [_attached(part) for part in message.iter_attachments()] if message.is_multipart() else []
    body = message.get_body(preferencelist=("plain", "html"))
    _write(builder, flat(str(message["Subject"] or "")), headers)
    if body is not None:
        _body(builder, _content(body), html=body.get_content_type() == "text/html")
    _attachments(builder, attachments, limits)
    return builder.build(mime)


def load_msg(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read an Outlook message like any other e-mail."""
    from oxmsg import Message

    with path.open("rb") as file:
        message = Message.load(file)
    builder = Builder(limits)
    people = ", ".join(recipient.email_address or recipient.name for recipient in message.recipients)
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
    try:
        return str(part.get_content())
    except (LookupError, UnicodeDecodeError, KeyError):
        from ingestion.loaders.encoding import decode

        payload = part.get_payload(decode=True)
        return decode(payload) if isinstance(payload, bytes) else ""
