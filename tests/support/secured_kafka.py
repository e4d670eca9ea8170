"""A Kafka with a listener that wants TLS, a client certificate, and a login by SCRAM-SHA-512."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from services.stack.kafka import Kafka
from services.stack.ports import HOST
from tests.support.certificates import self_signed
from tests.support.kafka import Broker

USER = "sentinel"
# What may stand in a password, and would break a setting that is put together carelessly.
PASSWORD = "pa$$;w0rd='x{y}"
JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class _SecuredKafka(Kafka):
    def settings(self) -> dict[str, object]:
        """Those of the product's broker, and a second listener beside the open one, over which the user is made."""
        folder, settings = self.context.layout.home, super().settings()
        address = f"SECURE://{HOST}:{self.context.ports['secured']}"
        for name in ("listeners", "advertised.listeners"):
            settings[name] = f"{settings[name]},{address}"
        listener = "listener.name.secure"
        return settings | {
            "listener.security.protocol.map": f"{settings['listener.security.protocol.map']},SECURE:SASL_SSL",
            f"{listener}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            f"{listener}.scram-sha-512.sasl.jaas.config": JAAS,
            f"{listener}.ssl.keystore.type": "PEM",
            f"{listener}.ssl.keystore.location": folder / "server.pem",
            f"{listener}.ssl.truststore.type": "PEM",
            f"{listener}.ssl.truststore.location": folder / "certificate.pem",
            f"{listener}.ssl.client.auth": "required",
        }


class SecuredBroker(Broker):
    """`bootstrap` is the open listener, `secured` the other one. The certificate is its own CA, and the client's as well."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = self_signed(home)
        (home / "server.pem").write_text(self.key.read_text() + self.certificate.read_text())
        self.password_file = home / "password"
        self.password_file.write_text(PASSWORD)
        super().__init__(home, _SecuredKafka, ("secured",))
        self.secured = f"{HOST}:{self.service.context.ports['secured']}"
        login = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(USER, login, PASSWORD.encode())
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.alter_user_scram_credentials([change]).values():
            future.result(30)

    def variables(self) -> dict[str, str]:
        """The environment that logs in, with the password in a file."""
        return {
            "SENTINEL_KAFKA_BOOTSTRAP": self.secured,
            "SENTINEL_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "SENTINEL_KAFKA_USERNAME": USER,
            "SENTINEL_KAFKA_PASSWORD_FILE": str(self.password_file),
            "SENTINEL_KAFKA_CA_FILE": str(self.certificate),
            "SENTINEL_KAFKA_CLIENT_CERT_FILE": str(self.certificate),
            "SENTINEL_KAFKA_CLIENT_KEY_FILE": str(self.key),
        }

    def variables_with_password(self, password: str = PASSWORD) -> dict[str, str]:
        """The same with the password itself in the environment."""
        return {name: value for name, value in self.variables().items() if "PASSWORD" not in name} | {"SENTINEL_KAFKA_PASSWORD": password}
