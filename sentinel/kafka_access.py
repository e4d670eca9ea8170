"""How every client of ours logs in at Kafka: from the environment, for librdkafka, kafka-python and Flink's tables alike.

The object holds where secrets are, never the secrets: it may travel with a job, be printed and be compared. Who connects reads the password then.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PREFIX = "SENTINEL_KAFKA_"
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
LOGIN = ("SECURITY_PROTOCOL", "SASL_MECHANISM", "USERNAME", "PASSWORD", "PASSWORD_FILE", "CA_FILE", "CLIENT_CERT_FILE", "CLIENT_KEY_FILE")
LOGIN_VARIABLES = tuple(PREFIX + name for name in LOGIN)
"""The environment variables of a login; `docs/operating.md` says what each means."""

_FILES = ("PASSWORD_FILE", "CA_FILE", "CLIENT_CERT_FILE", "CLIENT_KEY_FILE")
_ADDRESS = ("BOOTSTRAP", "GROUP")
# Kafka's Java client is inside Flink's connector under a name of its own.
_SHADED = "org.apache.flink.kafka.shaded.org.apache.kafka.common"


class KafkaAccessError(ValueError):
    """The login is incomplete or contradicts itself; the text names the variable and never a secret."""


@dataclass(frozen=True)
class KafkaAccess:
    """An address and the way to log in there; files are absolute paths."""

    bootstrap: str
    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password_file: str | None = None
    """None: the password is in the environment, `SENTINEL_KAFKA_PASSWORD`."""
    ca_file: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None

    @classmethod
    def of(cls, bootstrap: str, environ: Mapping[str, str] | None = None) -> KafkaAccess:
        """The login of the environment for a cluster.

        It belongs to `SENTINEL_KAFKA_BOOTSTRAP` where that is set: other addresses are spoken to without it, so no password goes to a stranger.

        Raises:
            KafkaAccessError: a variable is unknown, missing, or contradicts another.
        """
        environ = os.environ if environ is None else environ
        own = environ.get(PREFIX + "BOOTSTRAP")
        if own and own != bootstrap:
            return cls(bootstrap)
        _refuse_unknown(environ)
        given = {name: environ[PREFIX + name] for name in LOGIN if environ.get(PREFIX + name)}
        _check(given)
        files = {name: str(Path(given[name]).absolute()) for name in _FILES if name in given}
        access = cls(
            bootstrap,
            given.get("SECURITY_PROTOCOL", "PLAINTEXT"),
            given.get("SASL_MECHANISM", MECHANISMS[0]) if "USERNAME" in given else None,
            given.get("USERNAME"),
            *(files.get(name) for name in _FILES),
        )
        if access.username is not None:
            access.password(environ)
        return access

    def password(self, environ: Mapping[str, str] | None = None) -> str:
        """The password as it is now. Raises KafkaAccessError when it is missing or cannot be written as Kafka's clients want it."""
        if self.password_file is None:
            where, password = PREFIX + "PASSWORD", (os.environ if environ is None else environ).get(PREFIX + "PASSWORD", "")
        else:
            where, password = f"{PREFIX}PASSWORD_FILE {self.password_file}", _text(self.password_file)
        if not password:
            raise KafkaAccessError(f"{where} is empty; expected the password of {self.username}")
        if password.endswith("\n"):
            raise KafkaAccessError(f"{where} ends with a line break, which would count as part of the password: write it with printf '%s'")
        if any(character in '"\\' or not character.isprintable() for character in password):
            raise KafkaAccessError(f"{where} holds a \", a \\ or a control character, which Kafka's Java client cannot be given")
        return password

    def librdkafka(self) -> dict[str, Any]:
        """Settings of confluent-kafka, address included."""
        settings: dict[str, Any] = {"bootstrap.servers": self.bootstrap}
        if self.protocol != "PLAINTEXT":
            settings["security.protocol"] = self.protocol
        if self.username is not None:
            settings |= {"sasl.mechanism": self.mechanism, "sasl.username": self.username, "sasl.password": self.password()}
        files = {
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.client_cert_file,
            "ssl.key.location": self.client_key_file,
        }
        return settings | {name: path for name, path in files.items() if path is not None}

    def kafka_python(self) -> dict[str, Any]:
        """Arguments of kafka-python's clients, address included."""
        arguments: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.protocol}
        if self.username is not None:
            arguments |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password(),
            }
        files = {"ssl_cafile": self.ca_file, "ssl_certfile": self.client_cert_file, "ssl_keyfile": self.client_key_file}
        return arguments | {name: path for name, path in files.items() if path is not None}

    def flink_options(self) -> str:
        """Options of a table with the Kafka connector, address included: `'name' = 'value'`, comma-separated.

        Secrets are references that Kafka's own config providers resolve where the client runs: they are in no plan and on no page of Flink.
        """
        options = {"bootstrap.servers": self.bootstrap}
        if self.protocol != "PLAINTEXT":
            options |= {
                "security.protocol": self.protocol,
                "config.providers": "env,directory",
                "config.providers.env.class": f"{_SHADED}.config.provider.EnvVarConfigProvider",
                "config.providers.directory.class": f"{_SHADED}.config.provider.DirectoryConfigProvider",
            }
        if self.username is not None:
            secret = _content(self.password_file) if self.password_file else f"${{env:{PREFIX}PASSWORD}}"
            module = "plain.PlainLoginModule" if self.mechanism == "PLAIN" else "scram.ScramLoginModule"
            login = f'{_SHADED}.security.{module} required username="{self.username}" password="{secret}";'
            options |= {"sasl.mechanism": str(self.mechanism), "sasl.jaas.config": login}
        if self.ca_file is not None:
            options |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": self.ca_file}
        if self.client_cert_file and self.client_key_file:
            chain, key = _content(self.client_cert_file), _content(self.client_key_file)
            options |= {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": chain, "ssl.keystore.key": key}
        quoted = ((name, value.replace("'", "''")) for name, value in options.items())
        return ", ".join(f"'properties.{name}' = '{value}'" for name, value in quoted)


def librdkafka(bootstrap: str) -> dict[str, Any]:
    """Settings of confluent-kafka for a cluster, with the login of the environment. Raises KafkaAccessError."""
    return KafkaAccess.of(bootstrap).librdkafka()


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = [PREFIX + name for name in (*LOGIN, *_ADDRESS)]
    for name in environ:
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5) or [", ".join(known)]
            raise KafkaAccessError(f"unknown environment variable {name}; did you mean {near[0]}?")


def _check(given: Mapping[str, str]) -> None:
    protocol = given.get("SECURITY_PROTOCOL", "PLAINTEXT")
    _one_of("SECURITY_PROTOCOL", protocol, PROTOCOLS)
    tls, sasl = protocol.endswith("SSL"), protocol.startswith("SASL")
    for name in given:
        needs = "SASL" if name in ("SASL_MECHANISM", "USERNAME", "PASSWORD", "PASSWORD_FILE") else "SSL"
        if name != "SECURITY_PROTOCOL" and needs not in protocol.split("_"):
            wanted = " or ".join(each for each in PROTOCOLS if needs in each.split("_"))
            raise KafkaAccessError(f"{PREFIX}{name} is set, but {PREFIX}SECURITY_PROTOCOL is {protocol}; expected {wanted}")
    if tls and "CA_FILE" not in given:
        raise KafkaAccessError(
            f"{PREFIX}SECURITY_PROTOCOL is {protocol}, but {PREFIX}CA_FILE is missing; expected a PEM file with the CA of the brokers"
        )
    if sasl:
        _check_sasl(given, protocol)
    if ("CLIENT_CERT_FILE" in given) != ("CLIENT_KEY_FILE" in given):
        raise KafkaAccessError(f"{PREFIX}CLIENT_CERT_FILE and {PREFIX}CLIENT_KEY_FILE belong together; only one of them is set")
    for name in _FILES:
        if name in given:
            _check_file(name, given[name])


def _check_sasl(given: Mapping[str, str], protocol: str) -> None:
    mechanism = given.get("SASL_MECHANISM", MECHANISMS[0])
    _one_of("SASL_MECHANISM", mechanism, MECHANISMS)
    if mechanism == "PLAIN" and protocol != "SASL_SSL":
        raise KafkaAccessError(f"{PREFIX}SASL_MECHANISM PLAIN sends the password readable; expected {PREFIX}SECURITY_PROTOCOL SASL_SSL")
    username = given.get("USERNAME")
    if username is None:
        raise KafkaAccessError(f"{PREFIX}SECURITY_PROTOCOL is {protocol}, but {PREFIX}USERNAME is missing")
    if any(character in '"\\$' or not character.isprintable() for character in username):
        raise KafkaAccessError(f'{PREFIX}USERNAME holds a ", a \\, a $ or a control character')
    if ("PASSWORD" in given) == ("PASSWORD_FILE" in given):
        raise KafkaAccessError(f"expected exactly one of {PREFIX}PASSWORD and {PREFIX}PASSWORD_FILE")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise KafkaAccessError(f"{PREFIX}{name} is {value!r}; expected one of {', '.join(allowed)}")


def _check_file(name: str, path: str) -> None:
    if any(character in ":}$" for character in path):
        raise KafkaAccessError(f"{PREFIX}{name}: the path {path} holds a ':', a '}}' or a '$'")
    text = _text(path)
    if name != "PASSWORD_FILE" and "-----BEGIN " not in text:
        raise KafkaAccessError(f"{PREFIX}{name}: {path} is not PEM; expected a text with -----BEGIN …-----")


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise KafkaAccessError(f"{path} cannot be read: {reason}") from None


def _content(path: str) -> str:
    folder, name = os.path.split(path)
    return f"${{directory:{folder}:{name}}}"
