"""What is done with personal data: by tenant and kind, in texts, identifiers and whole documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.config.errors import ConfigError
from sentinel.config.load import default_config, parse_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.privacy.kinds import GROUPS
from sentinel.privacy.policy import HashKeyMissingError, PrivacyPolicy, PrivacySettings, settings_from
from sentinel.privacy.redaction import Redactor
from sentinel.privacy.rule import proved_by
from sentinel.privacy.scanner import RULES, Scanner
from services.cli.main import run
from tests.privacy.labelled import cases

TEXT = "Write to Jane.Doe@Example.org or pay with 4111 1111 1111 1111."
KEY = "a-key-of-this-test"


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Redactor:
    monkeypatch.setenv("PII_TEST_KEY", KEY)
    return Redactor(PrivacySettings(PrivacyPolicy("hash"), hash_key="${PII_TEST_KEY}"))


MASKING = Redactor(PrivacySettings())


def _with(policy: PrivacyPolicy) -> Redactor:
    return Redactor(PrivacySettings(policy))


def test_every_rule_is_of_a_known_kind() -> None:
    assert {rule.kind for rule in RULES} == set(GROUPS)


def test_mask() -> None:
    redacted = MASKING.redact(TEXT, "acme")
    assert redacted.text == "Write to [EMAIL] or pay with [CREDIT_CARD]."
    assert redacted.counts == {"email": 1, "credit_card": 1}


def test_off_and_overrides_by_kind_and_group() -> None:
    assert _with(PrivacyPolicy("off")).redact(TEXT, "acme").text == TEXT
    assert _with(PrivacyPolicy("off", {"financial": "mask"})).redact(TEXT, "acme").text.endswith("with [CREDIT_CARD].")
    assert (
        _with(PrivacyPolicy("mask", {"financial": "drop", "credit_card": "off"})).redact(TEXT, "acme").text.endswith("4111 1111 1111 1111.")
    )
    assert _with(PrivacyPolicy("mask", {"email": "drop"})).redact(TEXT, "acme").text == "[DROPPED:EMAIL]"


def test_equal_values_stay_equal_within_a_tenant(hashing: Redactor) -> None:
    first = hashing.redact("jane@example.org and 4111 1111 1111 1111", "acme").text
    assert hashing.redact("JANE@EXAMPLE.ORG and 4111-1111-1111-1111", "acme").text == first
    assert hashing.redact("joan@example.org and 4111 1111 1111 1111", "acme").text != first
    assert hashing.redact("jane@example.org and 4111 1111 1111 1111", "other").text != first
    assert "jane" not in first and "4111" not in first


def test_another_key_makes_other_hashes(hashing: Redactor, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hashing.redact(TEXT, "acme").text
    monkeypatch.setenv("PII_TEST_KEY", KEY[::-1])
    assert Redactor(hashing.settings).redact(TEXT, "acme").text != before


def test_a_key_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("PII_TEST_KEY", raising=False)
    wanting = PrivacySettings(PrivacyPolicy("hash"), hash_key="${PII_TEST_KEY}")
    with pytest.raises(HashKeyMissingError, match="environment variable PII_TEST_KEY: expected at least 16 bytes, found 0"):
        Redactor(wanting)
    with pytest.raises(HashKeyMissingError, match="hashKeyFile"):
        Redactor(PrivacySettings(PrivacyPolicy("hash"), hash_key_file=str(tmp_path / "absent")))
    # A job that runs already goes on, and lets nothing pass.
    assert Redactor.or_masking(wanting).redact(TEXT, "acme").text == "Write to [EMAIL] or pay with [CREDIT_CARD]."
    assert "masked instead of hashed" in caplog.text


def test_ids_stay_different() -> None:
    jane, joan = (MASKING.redact_id(f"{name}@example.org", "acme").text for name in ("jane", "joan"))
    assert jane != joan and jane.startswith("[EMAIL#") and MASKING.redact_id("user-4711", "acme").text == "user-4711"
    assert MASKING.redact_id(jane, "acme").text == jane


@pytest.mark.parametrize("seed", [3, 4])
def test_twice_is_once(hashing: Redactor, seed: int) -> None:
    for case in cases(seed, per_maker=2, near_misses_each=2):
        for redactor in (MASKING, hashing):
            once = redactor.redact(case["text"], "acme").text
            assert redactor.redact(once, "acme") == (once, {}), case["text"]


_PIECES = st.sampled_from([case["text"] for case in cases(5, per_maker=1, near_misses_each=1)])
_ANY = st.lists(st.one_of(_PIECES, st.text(max_size=8), st.sampled_from(" .-:@[]/0123456789")), max_size=6).map("".join)


@settings(max_examples=300, deadline=None)
@given(_ANY)
def test_twice_is_once_whatever_the_text(text: str) -> None:
    once = MASKING.redact(text, "acme").text
    assert MASKING.redact(once, "acme").text == once


def test_offsets_are_characters() -> None:
    text = "Größe 東京 jürgen@example.org 🙂 4111 1111 1111 1111"
    found = Scanner().find(text)
    assert [text[one.start : one.end] for one in found] == ["jürgen@example.org", "4111 1111 1111 1111"]


def test_lone_surrogates_do_no_harm() -> None:
    assert MASKING.redact("\ud800 a@example.org", "acme").text == "\ud800 [EMAIL]"


def test_documents_of_any_shape() -> None:
    document = {
        "tool": {"arguments": ["call +49 30 1234567", {"card": 4111111111111111, "count": 3, "ok": True}]},
        "jane@example.org": "owner",
        "kept": "jane@example.org",
    }
    counts = MASKING.redact_document(document, "acme", frozenset(("kept",)))
    assert document == {
        "tool": {"arguments": ["call [PHONE]", {"card": "[CREDIT_CARD]", "count": 3, "ok": True}]},
        "[EMAIL]": "owner",
        "kept": "jane@example.org",
    }
    assert counts == {"phone": 1, "credit_card": 1, "email": 1}


def test_a_document_too_deep_to_look_through_is_refused() -> None:
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(RecursionError, match="100 levels"):
        MASKING.redact_document(deep, "acme")


CONFIG = """
ingestion: {privacy: {action: hash, kinds: {email: mask, national_id: drop}, hashKey: "${PII_TEST_KEY}"}}
tenants: {lenient: {privacy: {action: off}}, strict: {privacy: {kinds: {email: drop}}}, plain: {}}
"""


def test_the_configuration_becomes_policies() -> None:
    settings_read = settings_from(parse_config(CONFIG, "c.yaml").config.to_snapshot())
    assert settings_read.of("plain").action_for("email") == "mask"
    assert settings_read.of("plain").action_for("us_ssn") == "drop"
    assert settings_read.of("strict").action_for("email") == "drop" and settings_read.of("strict").action_for("iban") == "hash"
    assert settings_read.of("lenient").is_off
    snapshot = default_config().config.to_snapshot()
    assert RuntimeConfig.from_snapshot(1, snapshot).privacy.default == PrivacyPolicy("mask")


@pytest.mark.parametrize(
    ("text", "path", "expected", "nearest"),
    [
        ("ingestion: {privacy: {kinds: {emial: mask}}}", "ingestion.privacy.kinds.emial", "expected a kind of personal data", "email"),
        ("ingestion: {privacy: {action: maks}}", "ingestion.privacy.action", "expected one of off, mask, hash, drop", "mask"),
        ("ingestion: {privacy: {acton: mask}}", "ingestion.privacy.acton", "expected a known key", "action"),
        ("ingestion: {privacy: {hashKey: plain-text}}", "ingestion.privacy.hashKey", "expected a reference ${NAME}", None),
        ("tenants: {a: {privacy: {action: hash}}}", "tenants.a.privacy", "expected ingestion.privacy.hashKey", None),
    ],
)
def test_a_wrong_policy_is_refused(text: str, path: str, expected: str, nearest: str | None) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(text, "c.yaml")
    problem = refused.value.problems[0]
    assert problem.path.startswith(path) and problem.expected.startswith(expected) and problem.nearest == nearest, problem


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target, config = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "c.yaml"
    source.write_text("".join(json.dumps({"id": name, "text": TEXT, "tenant_id": name}) + "\n" for name in ("a", "b")))
    config.write_text("tenants: {b: {privacy: {kinds: {email: drop, credit_card: off}}}}")
    assert run(["redact", "--input", str(source), "--output", str(target), "--config", str(config)]) == 0
    first, second = map(json.loads, target.read_text().splitlines())
    assert first == {
        "id": "a",
        "text": "Write to [EMAIL] or pay with [CREDIT_CARD].",
        "found": [{"kind": "email", "start": 9, "end": 29}, {"kind": "credit_card", "start": 42, "end": 61}],
    }
    assert second == {"id": "b", "text": "[DROPPED:EMAIL]", "found": [{"kind": "email", "start": 9, "end": 29}]}
    source.write_text('{"id": "a"}\n')
    assert run(["redact", "--input", str(source)]) == 1
    assert "line 1: Object missing required field `text`" in capsys.readouterr().err


def test_a_check_that_breaks_over_a_number_lets_nothing_through_and_stops_nobody() -> None:
    """python-stdnum raises KeyError for ids of prefectures without counties, such as the first."""
    for number, text in (("620201195007298600", "[CN_RIC]"), ("620201195007298601", "620201195007298601")):
        assert MASKING.redact(f"nummer {number} hier", "acme").text == f"nummer {text} hier"

    def broken(text: str) -> bool:
        raise KeyError(text)

    assert proved_by(broken)(b"a number: 123", 10, 13) == (10, 13)
