"""Protobuf messages of the pipe, built from descriptors at run time.

Owns names, numbers and types of fields (wire version 2), and this project's own fields beside them, which the
original skips. There is no generated code: one file serves protobuf 3.15 and everything after it. The pool is
private, so the original wheel may live in the same process.
"""

from __future__ import annotations

import enum
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

__all__ = [
    "BY_TYPE",
    "EXTENSION",
    "EXTENSION_PROGRESS",
    "EXTENSION_WAITS",
    "EXTENSION_WEIGHT",
    "Header",
    "KillSessionRequest",
    "LossRequest",
    "LossResponse",
    "MessageType",
    "ProgressReport",
    "SessionRequest",
    "SessionResponse",
    "Status",
    "StatusCode",
    "SyncRequest",
    "SyncResponse",
    "encode",
]


EXTENSION = 3
"""Version of this project's own fields: from 1 on PROGRESS and the names of merged models, from 2 on weights and data
schemas, from 3 on what an SL says to a program that waits."""
EXTENSION_PROGRESS, EXTENSION_WEIGHT, EXTENSION_WAITS = 1, 2, 3


class MessageType(enum.IntEnum):
    """Type numbers of the header (row F05); 0 and 11 are fences. PROGRESS is this project's, never answered: a program
    says how far it is, an SL whom a waiting program waits for."""

    STATUS = 1
    OPEN_REQUEST = 2
    OPEN_RESPONSE = 3
    CLOSE_REQUEST = 4
    CLOSE_RESPONSE = 5
    SYNC_REQUEST = 6
    SYNC_RESPONSE = 7
    LOSS_REQUEST = 8
    LOSS_RESPONSE = 9
    KILL = 10
    PROGRESS = 100


class StatusCode(enum.IntEnum):
    OK = 0
    ERROR_IN_SL = 1
    ERROR_IN_USER = 2
    ERROR_OTHERS = 3


_PACKAGE = "swarmlearning.pipe"
_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "fixed32": _FIELD.TYPE_FIXED32,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "bool": _FIELD.TYPE_BOOL,
    "string": _FIELD.TYPE_STRING,
    "float": _FIELD.TYPE_FLOAT,
}

# message -> fields in the order of their numbers, 1 and up
_MESSAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "APIVersion": (("fixed32", "apiVersion"), ("fixed32", "minVersion")),
    "Header": (("APIVersion", "apiVersion"), ("fixed32", "msgType"), ("fixed32", "msgSize")),
    "Status": (("Code", "code"), ("string", "msg")),
    "SessionRequest": (
        ("int32", "syncInterval"),
        ("int32", "minPeers"),
        ("int32", "maxPeers"),
        ("bool", "useAdaptiveSync"),
        ("string", "checkinModelOnTrainEnd"),
        ("int32", "nodeWeightage"),
        ("string", "trainingContract"),
        ("string", "mergeMethod"),
    ),
    "SessionResponse": (("Status", "status"), ("string", "sessionID")),
    "SyncRequest": (
        ("string", "sessionID"),
        ("int32", "syncSeqNum"),
        ("int32", "nodeWeightage"),
        ("int32", "numberOfNodes"),
        ("string", "fileName"),
    ),
    "SyncResponse": (
        ("string", "sessionID"),
        ("int32", "syncSeqNum"),
        ("Status", "status"),
        ("int32", "nextSyncInterval"),
        ("bool", "trainingOver"),
    ),
    "LossRequest": (
        ("string", "sessionID"),
        ("int32", "syncSeqNum"),
        ("int32", "lossSeqNum"),
        ("string", "fileName"),
    ),
    "LossResponse": (
        ("string", "sessionID"),
        ("int32", "syncSeqNum"),
        ("int32", "lossSeqNum"),
        ("Status", "status"),
        ("float", "loss"),
        ("float", "metrics"),
        ("int32", "epochsdone"),
        ("int32", "totalepochs"),
    ),
    "KillSessionRequest": (("string", "sessionID"), ("Status", "reason")),
    "ProgressReport": (
        ("string", "sessionID"),
        ("int32", "step"),
        ("int32", "total"),
        ("int32", "epochsdone"),
        ("int32", "totalepochs"),
    ),
}
_OWN_FIELDS_FROM = 16
# message -> this project's fields, numbered from 16 up
_OWN_FIELDS: dict[str, tuple[tuple[str, str], ...]] = {
    "Status": (("bool", "comeBack"),),
    "SessionRequest": (
        ("int32", "extension"),
        ("int64", "afterRun"),
        ("int64", "afterRound"),
        ("string", "dataSchema"),
    ),
    "SessionResponse": (("int32", "extension"),),
    "SyncRequest": (("int64", "weight"),),
    "SyncResponse": (("string", "record"),),
    "KillSessionRequest": (("int32", "exitCode"), ("string", "exception")),
    "ProgressReport": (("string", "waitsFor"),),
    "LossRequest": (
        ("string", "swarm"),
        ("int64", "run"),
        ("int64", "round"),
        ("string", "blob"),
        ("string", "differs"),
        ("string", "differsLater"),
    ),
}


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="swarmlearning/pipe.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        numbered = [*enumerate(fields, 1), *enumerate(_OWN_FIELDS.get(name, ()), _OWN_FIELDS_FROM)]
        for number, (kind, field_name) in numbered:
            field = message.field.add(name=field_name, number=number, label=_FIELD.LABEL_OPTIONAL)
            if kind in _TYPES:
                field.type = _TYPES[kind]
            elif kind == "Code":
                field.type = _FIELD.TYPE_ENUM
                field.type_name = f".{_PACKAGE}.Status.Code"
            else:
                field.type = _FIELD.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
        if name == "Status":
            codes = message.enum_type.add(name="Code")
            for code in StatusCode:
                codes.value.add(name=code.name, number=int(code))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _MESSAGES}
    get_class = getattr(message_factory, "GetMessageClass", None)
    if get_class is None:  # protobuf below 4.22
        factory = message_factory.MessageFactory(pool)
        get_class = factory.GetPrototype
    return {name: get_class(descriptor) for name, descriptor in found.items()}


_CLASSES = _build()
Header: Any = _CLASSES["Header"]
Status: Any = _CLASSES["Status"]
SessionRequest: Any = _CLASSES["SessionRequest"]
SessionResponse: Any = _CLASSES["SessionResponse"]
SyncRequest: Any = _CLASSES["SyncRequest"]
SyncResponse: Any = _CLASSES["SyncResponse"]
LossRequest: Any = _CLASSES["LossRequest"]
LossResponse: Any = _CLASSES["LossResponse"]
KillSessionRequest: Any = _CLASSES["KillSessionRequest"]
ProgressReport: Any = _CLASSES["ProgressReport"]

BY_TYPE: dict[MessageType, Any] = {
    MessageType.STATUS: Status,
    MessageType.OPEN_REQUEST: SessionRequest,
    MessageType.OPEN_RESPONSE: SessionResponse,
    MessageType.CLOSE_REQUEST: SyncRequest,
    MessageType.CLOSE_RESPONSE: SyncResponse,
    MessageType.SYNC_REQUEST: SyncRequest,
    MessageType.SYNC_RESPONSE: SyncResponse,
    MessageType.LOSS_REQUEST: LossRequest,
    MessageType.LOSS_RESPONSE: LossResponse,
    MessageType.KILL: KillSessionRequest,
    MessageType.PROGRESS: ProgressReport,
}


def encode(message: Any) -> bytes:
    """The message's bytes, deterministically."""
    return bytes(message.SerializeToString(deterministic=True))
