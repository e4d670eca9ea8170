"""What Kafka says against a login: librdkafka tells it beside the call that then ends as if nobody had answered."""

from __future__ import annotations

from confluent_kafka import KafkaError

_LOGIN = (KafkaError._AUTHENTICATION, KafkaError._SSL)


class LoginRefusal:
    """An `error_cb`. `text` is the newest refusal of a login or of TLS, as the end of a sentence; empty without one."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, error: KafkaError) -> None:
        if error.code() in _LOGIN:
            self.text = f": the login was refused ({error.str()})"
