"""E-mail: eml (RFC 5322) and Outlook's msg. Attachments are named, not read."""

import email
import email.policy
from collections.abc import Sequence
from email.message import EmailMessage, MIMEPart
from pathlib import Path

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder, flat

_SHOWN_HEADERS = ("From", "To", "Cc", "Date")


def load_eml(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read subject, people, date, body (plain before HTML) and the names of attachments."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    if not isinstance(message, EmailMessage):
        raise ExtractionFailed("corrupt", "This e-mail is damaged and can't be read.")
    builder = Builder(limits)
    headers = [(key, flat(str(message[key] or ""))) for key in _SHOWN_HEADERS]
    attachments = [part.get_filename() or "" for part in message.iter_attachments()] if message.is_multipart() else []
    body = message.get_body(preferencelist=("plain", "html"))
    _write(builder, flat(str(message["Subject"] or "")), headers)
    if body is not None:
        _body(builder, _content(body), html=body.get_content_type() == "text/html")
    _names(builder, attachments)
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
    _names(builder, [attachment.file_name or "" for attachment in message.attachments])
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


def _names(builder: Builder, attachments: Sequence[str]) -> None:
    shown = [flat(name) for name in attachments if name and name.strip()]
    if shown:
        builder.add("Attachments: " + ", ".join(shown))


def _content(part: MIMEPart) -> str:
    try:
        return str(part.get_content())
    except (LookupError, UnicodeDecodeError, KeyError):
        from ingestion.loaders.encoding import decode

        payload = part.get_payload(decode=True)
        return decode(payload) if isinstance(payload, bytes) else ""
