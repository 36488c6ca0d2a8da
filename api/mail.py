"""The one e-mail that this service sends."""

import asyncio
import smtplib
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import structlog

from llama_service.settings import Settings

log = structlog.get_logger(__name__)

_TIMEOUT = 10  # seconds


async def send_reset(settings: Settings, address: str, token: str) -> None:
    """Send a link for a new password. Without `SMTP_URL` nothing is sent: an administrator sets the password then."""
    if settings.smtp_url is None:
        log.warning("reset_mail_not_sent", hint="set SMTP_URL, or set the password on the administration page")
        return
    message = EmailMessage()
    message["From"], message["To"] = settings.mail_from, address
    message["Subject"] = "A new password"
    base = settings.public_url or f"http://{settings.authority}{settings.root_path}"
    message.set_content(
        f"Open this link within an hour to set a new password:\n\n{base}/reset-password#{token}\n\n"
        "If you did not ask for it, nothing has to be done.\n"
    )
    try:
        await asyncio.to_thread(_send, settings.smtp_url.get_secret_value(), message)
    except (OSError, smtplib.SMTPException) as error:
        # Who asked must not learn from an error whether the account exists.
        log.error("reset_mail_failed", error=type(error).__name__)


def _send(url: str, message: EmailMessage) -> None:
    parts = urlsplit(url)
    secure = parts.scheme == "smtps"
    kind = smtplib.SMTP_SSL if secure else smtplib.SMTP
    with kind(parts.hostname or "localhost", parts.port or (465 if secure else 25), timeout=_TIMEOUT) as server:
        if parts.scheme == "smtp+starttls":
            server.starttls()
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)
