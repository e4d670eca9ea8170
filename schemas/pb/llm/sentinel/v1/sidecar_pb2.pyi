from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class FollowRequest(_message.Message):
    __slots__ = ("application_id",)
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    def __init__(self, application_id: _Optional[str] = ...) -> None: ...

class FollowUpdate(_message.Message):
    __slots__ = ("configuration_json", "anomaly_json")
    CONFIGURATION_JSON_FIELD_NUMBER: _ClassVar[int]
    ANOMALY_JSON_FIELD_NUMBER: _ClassVar[int]
    configuration_json: bytes
    anomaly_json: bytes
    def __init__(self, configuration_json: _Optional[bytes] = ..., anomaly_json: _Optional[bytes] = ...) -> None: ...
