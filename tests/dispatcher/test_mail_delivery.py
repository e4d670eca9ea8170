"""E-mail against a real SMTP server: form, threading, refusal, and names that try to break out of a header."""

import email
import email.policy
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from services.dispatcher.delivery import Outcome
from tests.dispatcher.conftest import Bench, record
from tests.support.certificates import self_signed
from tests.support.postgres import free_port


class Mailbox:
    """Keeps what arrives; answers to DATA and RCPT can be set in advance."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Any] = []
        self.data_answers: list[str] = []
        self.refused: set[str] = set()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        answer = self.data_answers.pop(0) if self.data_answers else "250 OK"
        if answer.startswith("250"):
            self.envelopes.append(envelope)
            parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(parsed, EmailMessage)
            self.mails.append(parsed)
        return answer


@pytest.fixture
def mailbox(bench: Bench) -> Iterator[Mailbox]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    bench.add(
        "team",
        "email",
        **{
            "smarthost": f"127.0.0.1:{controller.port}",
            "from": "LLM Sentinel <sentinel@example.org>",
            "to": "oncall@example.org, lead@example.org",
            "requireTls": False,
        },
    )
    yield box
    controller.stop()


def test_text_first_then_html_with_the_headers_of_an_automatic_mail(bench: Bench, mailbox: Mailbox) -> None:
    assert bench.deliver(record(receiver="team")) is Outcome.DELIVERED
    (mail,) = mailbox.mails
    assert mail.get_content_type() == "multipart/alternative"
    text, html = mail.iter_parts()
    assert isinstance(text, EmailMessage)
    assert isinstance(html, EmailMessage)
    assert [text.get_content_type(), html.get_content_type()] == ["text/plain", "text/html"]
    assert text["Content-Transfer-Encoding"] == "quoted-printable"
    assert "Latency is high — “three times”" in text.get_content()
    assert "summary: p95 3.2 s <b>" in text.get_content()
    assert "p95 3.2 s &lt;b&gt;" in html.get_content()
    assert mail["Subject"] == "[FIRING:1] Latency of chat"
    assert mail["From"] == "LLM Sentinel <sentinel@example.org>"
    assert mail["To"] == "oncall@example.org, lead@example.org"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"] == "Fri, 02 Jan 2026 03:04:06 +0000"
    assert mail["X-Sentinel-Notification-Id"] == "n-1"
    assert mailbox.envelopes[0].rcpt_tos == ["oncall@example.org", "lead@example.org"]


def test_the_priority_of_the_definition_is_the_importance_of_its_mails(bench: Bench, mailbox: Mailbox) -> None:
    for number, priority in enumerate(("low", "medium", "high", "critical", "")):
        bench.deliver(record(f"n-{number}", receiver="team", priority=priority))
    assert [mail["Importance"] for mail in mailbox.mails] == ["low", "normal", "high", "high", None]


def test_one_thread_a_group(bench: Bench, mailbox: Mailbox) -> None:
    bench.deliver(record("n-1", receiver="team"))
    bench.deliver(record("n-2", receiver="team", status="resolved", alerts=[]))
    bench.deliver(record("n-3", receiver="team", group_key="acme|cost"))
    first, second, other = mailbox.mails
    assert first["References"] == first["In-Reply-To"] == second["References"] != other["References"]
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 3
    assert second["Subject"].startswith("[RESOLVED] ")


def test_a_rejection_at_the_end_of_data_counts_as_failure(bench: Bench, mailbox: Mailbox) -> None:
    mailbox.data_answers = ["451 try later", "554 spam"]
    assert bench.deliver(record(receiver="team")) is Outcome.DEAD
    assert bench.ledger() == ("dead", 2, "SMTP 554 spam")
    assert mailbox.mails == []


def test_a_refused_recipient_is_noted_and_the_others_get_one_mail(bench: Bench, mailbox: Mailbox) -> None:
    mailbox.refused = {"lead@example.org"}
    assert bench.deliver(record(receiver="team")) is Outcome.DELIVERED
    assert len(mailbox.mails) == 1
    assert bench.ledger() == ("delivered", 1, "refused: lead@example.org 550 no such user")


def test_nothing_accepted_is_a_failure(bench: Bench, mailbox: Mailbox) -> None:
    mailbox.refused = {"lead@example.org", "oncall@example.org"}
    assert bench.deliver(record(receiver="team")) is Outcome.DEAD
    assert bench.letters[0].reason == "all recipients refused: 550 no such user; 550 no such user"


def test_a_megabyte_in_an_annotation_is_cut(bench: Bench, mailbox: Mailbox) -> None:
    alert = {"status": "firing", "annotations": {"summary": "x" * 1_000_000}, "startsAt": "2026-01-01T00:00:00Z"}
    assert bench.deliver(record(receiver="team", alerts=[alert] * 200)) is Outcome.DELIVERED
    assert len(mailbox.envelopes[0].content) < 1_000_000 and "and 100 more" in mailbox.mails[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_a_title_cannot_add_headers(bench: Bench, mailbox: Mailbox) -> None:
    assert bench.deliver(record(receiver="team", title="x\r\nBcc: evil@example.org\x00")) is Outcome.DELIVERED
    (mail,) = mailbox.mails
    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("[FIRING:1] x Bcc: evil@example.org")


def test_a_relay_without_the_required_tls_is_refused(bench: Bench, mailbox: Mailbox) -> None:
    bench.receivers[0]["config"]["requireTls"] = True
    assert bench.deliver(record(receiver="team")) is Outcome.DEAD
    assert bench.letters[0].attempts == 1
    assert "STARTTLS" in bench.letters[0].reason
    assert mailbox.mails == []


def test_a_relay_whose_certificate_nobody_vouches_for_gets_no_mail(bench: Bench, tmp_path: Path) -> None:
    context, box = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Mailbox()
    context.load_cert_chain(*self_signed(tmp_path))
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), tls_context=context)
    controller.start()
    try:
        config = {"smarthost": f"127.0.0.1:{controller.port}", "from": "sentinel@example.org", "to": "oncall@example.org"}
        bench.add("team", "email", **config)
        assert bench.deliver(record(receiver="team")) is Outcome.DEAD
    finally:
        controller.stop()
    assert "certificate verify failed" in bench.letters[0].reason
    assert box.mails == []


def test_a_relay_that_is_away_is_tried_again(bench: Bench) -> None:
    bench.add("team", "email", **{"smarthost": f"127.0.0.1:{free_port()}", "from": "a@example.org", "to": ["b@example.org"]})
    assert bench.deliver(record(receiver="team")) is Outcome.DEAD
    assert bench.letters[0].attempts == 5
