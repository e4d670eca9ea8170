"""E-mail: text first, then HTML; one thread a notification group."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

import aiosmtplib
from jinja2 import Environment

from sentinel.identity import stable_id
from sentinel.timestamps import from_rfc3339
from services.dispatcher.errors import SendError
from services.dispatcher.events import plain
from services.dispatcher.notification import Notification, headline, shortened
from services.dispatcher.settings import EmailSettings

MAX_ALERTS, MAX_VALUE = 100, 4_000
"""What one mail holds: relays refuse mails of megabytes, and nobody reads them."""

_IMPORTANCE = {"low": "low", "medium": "normal", "high": "high", "critical": "high"}
"""Values of the header Importance (RFC 2156) by the priority of the definition's notification."""

_TEXT = """\
{{ n.text or n.title }}

{% for alert in n.alerts -%}
[{{ alert.status }}] since {{ alert.starts_at }}{% if alert.status != "firing" and alert.ends_at %}, until {{ alert.ends_at }}{% endif %}
{% for name, value in alert.annotations.items() %}  {{ name }}: {{ value }}
{% endfor %}{% for name, value in alert.labels.items() %}  {{ name }} = {{ value }}
{% endfor %}{% if alert.generator_url %}  {{ alert.generator_url }}
{% endif %}
{% endfor -%}
{% if left_out %}and {{ left_out }} more

{% endif %}Tenant {{ n.tenant_id }}, receiver {{ n.receiver }}, notification {{ n.notification_id }}
{% if n.external_url %}{{ n.external_url }}
{% endif %}"""

_HTML = """\
<!DOCTYPE html>
<html lang="en"><body style="font-family: sans-serif">
<h2 style="color: {{ "#b00020" if n.firing else "#1b7f3b" }}">{{ n.title }}</h2>
<p style="white-space: pre-wrap">{{ n.text }}</p>
{% for alert in n.alerts %}
<h3>{{ alert.status }} since {{ alert.starts_at }}
{%- if alert.status != "firing" and alert.ends_at %}, until {{ alert.ends_at }}{% endif %}</h3>
<table cellpadding="4">
{% for name, value in alert.annotations.items() %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>
{% endfor %}{% for name, value in alert.labels.items() %}<tr><td>{{ name }}</td><td><code>{{ value }}</code></td></tr>
{% endfor %}</table>
{% if alert.generator_url.startswith(("http://", "https://")) %}<p><a href="{{ alert.generator_url }}">Source</a></p>{% endif %}
{% endfor %}{% if left_out %}<p>and {{ left_out }} more</p>{% endif %}
<p><small>Tenant {{ n.tenant_id }}, receiver {{ n.receiver }}, notification {{ n.notification_id }}</small></p>
</body></html>
"""

_text = Environment(autoescape=False).from_string(_TEXT)  # noqa: S701  plain text; the HTML part escapes
_html = Environment(autoescape=True).from_string(_HTML)


def message(settings: EmailSettings, notification: Notification) -> EmailMessage:
    """The mail: RFC 5322 with multipart/alternative, marked as automatic (RFC 3834), threaded by References on a root
    id that depends on tenant, receiver and group. A function of the record alone: a repeat has the same Message-ID."""
    domain = parseaddr(settings.sender)[1].rpartition("@")[2] or "localhost"
    root = f"<{stable_id('mail-thread', notification.tenant_id, notification.receiver, notification.group_key)}@{domain}>"
    shown = shortened(notification, alerts=MAX_ALERTS, value=MAX_VALUE)
    left_out = len(notification.alerts) - len(shown.alerts)
    mail = EmailMessage()
    mail["From"] = _address(settings.sender)
    mail["To"] = [_address(address) for address in settings.to]
    mail["Subject"] = plain(headline(notification), 300)
    mail["Date"] = format_datetime(_created(notification))
    mail["Message-ID"] = f"<{stable_id('mail', notification.notification_id)}@{domain}>"
    mail["In-Reply-To"] = root
    mail["References"] = root
    mail["Auto-Submitted"] = "auto-generated"
    if notification.priority in _IMPORTANCE:
        mail["Importance"] = _IMPORTANCE[notification.priority]
    mail["X-Sentinel-Notification-Id"] = plain(notification.notification_id, 200)
    mail.set_content(_text.render(n=shown, left_out=left_out), cte="quoted-printable")
    mail.add_alternative(_html.render(n=shown, left_out=left_out), subtype="html", cte="quoted-printable")
    return mail


async def send(settings: EmailSettings, notification: Notification) -> str | None:
    """Hands one mail to the relay. Acceptance is the relay's answer to the end of DATA, for at least one recipient.

    Returns a note when some recipients were refused (sending again would repeat the mail to the others), else None.
    Raises SendError otherwise.
    """
    try:
        mail = message(settings, notification)
    except ValueError as error:
        raise SendError(f"the mail cannot be written: {error}", retryable=False) from None
    try:
        refused, _ = await aiosmtplib.send(
            mail,
            hostname=settings.host,
            port=settings.port,
            username=settings.auth_username,
            password=settings.auth_password.get_secret_value() if settings.auth_password else None,
            local_hostname=settings.hello,
            use_tls=settings.port == 465,
            start_tls=settings.require_tls and settings.port != 465,
            timeout=settings.timeout_s,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        codes = [(recipient.code, recipient.message) for recipient in error.recipients]
        reason = "all recipients refused: " + "; ".join(f"{code} {text}" for code, text in codes)
        raise SendError(plain(reason), retryable=any(code < 500 for code, _ in codes)) from None
    except aiosmtplib.SMTPResponseException as error:
        raise SendError(plain(f"SMTP {error.code} {error.message}"), retryable=error.code < 500) from None
    except (ssl.SSLCertVerificationError, ValueError) as error:
        raise SendError(plain(f"{type(error).__name__}: {error}"), retryable=False) from None
    except (aiosmtplib.SMTPException, OSError) as error:
        # The library's bare SMTPException says that the relay lacks what we require (STARTTLS, AUTH).
        raise SendError(plain(f"{type(error).__name__}: {error}"), retryable=type(error) is not aiosmtplib.SMTPException) from None
    return plain("refused: " + "; ".join(f"{name} {answer.code} {answer.message}" for name, answer in refused.items())) if refused else None


def _address(text: str) -> Address:
    name, spec = parseaddr(text)
    return Address(display_name=name, addr_spec=spec)


def _created(notification: Notification) -> datetime:
    try:
        return datetime.fromtimestamp(from_rfc3339(notification.created_at) / 1000, UTC)
    except ValueError:
        return datetime.now(UTC)
