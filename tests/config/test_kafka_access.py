"""The login at Kafka: what is refused and in which words, and that no object and no option holds the secret."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from sentinel.config.load import parse_config
from sentinel.kafka_access import KafkaAccess, KafkaAccessError

SECRET = "hunter2-and-more"
BOOTSTRAP = "broker:9093"


@pytest.fixture
def login(tmp_path: Path) -> dict[str, str]:
    """A whole login by SCRAM over TLS."""
    authority, password = tmp_path / "ca.pem", tmp_path / "password"
    authority.write_text("-----BEGIN CERTIFICATE-----\n")
    password.write_text(SECRET)
    return {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "USERNAME": "sentinel",
        "PASSWORD_FILE": str(password),
        "CA_FILE": str(authority),
    }


def access(login: dict[str, str], bootstrap: str = BOOTSTRAP, **others: str) -> KafkaAccess:
    return KafkaAccess.of(bootstrap, {f"SENTINEL_KAFKA_{name}": value for name, value in (login | others).items() if value})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SASL_MECHANISM": "SCRAM-SHA-1"}, "SASL_MECHANISM is 'SCRAM-SHA-1'; expected one of SCRAM-SHA-512, SCRAM-SHA-256, PLAIN"),
        ({"SECURITY_PROTOCOL": "TLS"}, "SECURITY_PROTOCOL is 'TLS'; expected one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        (
            {"SECURITY_PROTOCOL": ""},
            "USERNAME is set, but SENTINEL_KAFKA_SECURITY_PROTOCOL is PLAINTEXT; expected SASL_PLAINTEXT or SASL_SSL",
        ),
        ({"CA_FILE": ""}, "SECURITY_PROTOCOL is SASL_SSL, but SENTINEL_KAFKA_CA_FILE is missing; expected a PEM file"),
        ({"CA_FILE": "/nowhere/ca.pem"}, "/nowhere/ca.pem cannot be read: No such file"),
        ({"USERNAME": ""}, "SENTINEL_KAFKA_USERNAME is missing"),
        ({"PASSWORD_FILE": ""}, "expected exactly one of SENTINEL_KAFKA_PASSWORD and SENTINEL_KAFKA_PASSWORD_FILE"),
        ({"PASSWORD": SECRET}, "expected exactly one of SENTINEL_KAFKA_PASSWORD and SENTINEL_KAFKA_PASSWORD_FILE"),
        ({"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "CA_FILE": "", "SASL_MECHANISM": "PLAIN"}, "PLAIN sends the password readable"),
        ({"CLIENT_KEY_FILE": "/nowhere/key.pem"}, "CLIENT_CERT_FILE and SENTINEL_KAFKA_CLIENT_KEY_FILE belong together"),
        ({"PASSWORD_FILE": "", "PASSWORD": f'{SECRET}"'}, 'SENTINEL_KAFKA_PASSWORD holds a "'),
        ({"PASSWORD_FILE": "", "PASSWORD": f"{SECRET}\n"}, "SENTINEL_KAFKA_PASSWORD ends with a line break"),
        ({"SASL_USERNAME": "sentinel"}, "unknown environment variable SENTINEL_KAFKA_SASL_USERNAME; did you mean SENTINEL_KAFKA_USERNAME?"),
    ],
)
def test_a_login_that_cannot_work_is_refused_in_words_that_help(login: dict[str, str], changes: dict[str, str], said: str) -> None:
    with pytest.raises(KafkaAccessError) as refused:
        access(login, **changes)
    assert said in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_ca_that_is_no_pem_is_refused(login: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "ca.der").write_text("0000")
    with pytest.raises(KafkaAccessError, match=r"CA_FILE: .*ca\.der is not PEM"):
        access(login, CA_FILE=str(tmp_path / "ca.der"))


@pytest.mark.parametrize("by_file", [True, False])
def test_what_travels_with_a_job_holds_no_secret(login: dict[str, str], by_file: bool) -> None:
    found = access(login) if by_file else access(login, PASSWORD_FILE="", PASSWORD=SECRET)
    for seen in (repr(found), pickle.dumps(found).decode("latin-1"), found.flink_options()):
        assert SECRET not in seen
    reference = f"${{directory:{Path(login['PASSWORD_FILE']).parent}:password}}" if by_file else "${env:SENTINEL_KAFKA_PASSWORD}"
    assert f'password="{reference}"' in found.flink_options()


def test_clients_get_the_password_as_it_is_now(login: dict[str, str]) -> None:
    found = access(login)
    assert found.librdkafka()["sasl.password"] == found.kafka_python()["sasl_plain_password"] == SECRET
    Path(login["PASSWORD_FILE"]).write_text("another")
    assert found.librdkafka()["sasl.password"] == "another"


def test_a_password_goes_to_its_own_cluster_only(login: dict[str, str]) -> None:
    assert access(login, BOOTSTRAP=BOOTSTRAP).protocol == "SASL_SSL"
    assert access(login, BOOTSTRAP="other:9092") == KafkaAccess(BOOTSTRAP)


def test_without_a_login_the_options_are_the_address() -> None:
    assert KafkaAccess.of(BOOTSTRAP, {}).flink_options() == f"'properties.bootstrap.servers' = '{BOOTSTRAP}'"
    assert KafkaAccess.of(BOOTSTRAP, {}).librdkafka() == {"bootstrap.servers": BOOTSTRAP}


def test_a_login_in_the_configuration_is_told_to_be_without_effect() -> None:
    text = "ingestion: {protocols: {kafka: {sasl: {enabled: true, username: sentinel, passwordSecret: kafka-password}}}}"
    told = [note for note in parse_config(text, "c.yaml").warnings if note.startswith("ingestion.protocols.kafka.sasl")]
    assert len(told) == 1 and "SENTINEL_KAFKA_USERNAME" in told[0]
