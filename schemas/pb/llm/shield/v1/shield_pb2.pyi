from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ActionType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BLOCK: _ClassVar[ActionType]
    RATE_LIMIT: _ClassVar[ActionType]
    THROTTLE: _ClassVar[ActionType]
    QUARANTINE: _ClassVar[ActionType]
    ALERT_ONLY: _ClassVar[ActionType]
BLOCK: ActionType
RATE_LIMIT: ActionType
THROTTLE: ActionType
QUARANTINE: ActionType
ALERT_ONLY: ActionType

class ActionRequest(_message.Message):
    __slots__ = ("action_id", "type", "target_entity", "reason", "duration", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TARGET_ENTITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    action_id: str
    type: ActionType
    target_entity: str
    reason: str
    duration: _duration_pb2.Duration
    parameters: _containers.ScalarMap[str, str]
    def __init__(self, action_id: _Optional[str] = ..., type: _Optional[_Union[ActionType, str]] = ..., target_entity: _Optional[str] = ..., reason: _Optional[str] = ..., duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., parameters: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ActionResponse(_message.Message):
    __slots__ = ("success", "action_id", "message", "enforced_at")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ENFORCED_AT_FIELD_NUMBER: _ClassVar[int]
    success: bool
    action_id: str
    message: str
    enforced_at: _timestamp_pb2.Timestamp
    def __init__(self, success: bool = ..., action_id: _Optional[str] = ..., message: _Optional[str] = ..., enforced_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BulkActionRequest(_message.Message):
    __slots__ = ("actions",)
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    actions: _containers.RepeatedCompositeFieldContainer[ActionRequest]
    def __init__(self, actions: _Optional[_Iterable[_Union[ActionRequest, _Mapping]]] = ...) -> None: ...

class BulkActionResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[ActionResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[ActionResponse, _Mapping]]] = ...) -> None: ...

class RevokeRequest(_message.Message):
    __slots__ = ("action_id", "reason")
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    action_id: str
    reason: str
    def __init__(self, action_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeResponse(_message.Message):
    __slots__ = ("success", "action_id", "message", "revoked_at")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_FIELD_NUMBER: _ClassVar[int]
    success: bool
    action_id: str
    message: str
    revoked_at: _timestamp_pb2.Timestamp
    def __init__(self, success: bool = ..., action_id: _Optional[str] = ..., message: _Optional[str] = ..., revoked_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
