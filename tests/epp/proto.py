"""ext_proc's messages through the protobuf library, so that tests read none of our own bytes.

Field numbers are those of Envoy 1.40's ``external_processor.proto``, ``base.proto`` and
``struct.proto``.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

_T = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "string": _T.TYPE_STRING,
    "bytes": _T.TYPE_BYTES,
    "int32": _T.TYPE_INT32,
    "bool": _T.TYPE_BOOL,
}
Fields = list[tuple[int, str, str]]
MESSAGES: dict[str, Fields] = {
    "Header": [(1, "key", "string"), (2, "value", "string"), (3, "raw", "bytes")],
    "Map": [(1, "headers", "*Header")],
    "Headers": [(1, "headers", "Map"), (3, "end_of_stream", "bool")],
    "HttpBody": [(1, "body", "bytes"), (2, "end_of_stream", "bool")],
    "Trailers": [(1, "trailers", "Map")],
    "Entry": [(1, "key", "string"), (2, "value", "Struct")],
    "Metadata": [(1, "filter_metadata", "*Entry")],
    "Config": [(1, "request_body", "int32"), (2, "response_body", "int32"), (3, "early", "bool")],
    "Request": [
        (2, "request_headers", "Headers"),
        (3, "response_headers", "Headers"),
        (4, "request_body", "HttpBody"),
        (5, "response_body", "HttpBody"),
        (6, "request_trailers", "Trailers"),
        (7, "response_trailers", "Trailers"),
        (8, "metadata_context", "Metadata"),
        (11, "protocol_config", "Config"),
    ],
    "Option": [(1, "header", "Header"), (3, "action", "int32")],
    "Mutation": [(1, "set", "*Option"), (2, "remove", "*string")],
    "Streamed": [(1, "body", "bytes"), (2, "end_of_stream", "bool")],
    "BodyMutation": [(1, "body", "bytes"), (2, "clear", "bool"), (3, "streamed", "Streamed")],
    "Common": [
        (1, "status", "int32"),
        (2, "headers", "Mutation"),
        (3, "body", "BodyMutation"),
        (5, "clear_route_cache", "bool"),
    ],
    "Response": [(1, "response", "Common")],
    "TrailersResponse": [(1, "headers", "Mutation")],
    "Status": [(1, "code", "int32")],
    "Immediate": [
        (1, "status", "Status"),
        (2, "headers", "Mutation"),
        (3, "body", "bytes"),
        (5, "details", "string"),
    ],
    "Mode": [(n, f"m{n}", "int32") for n in range(1, 7)],
    "Reply": [
        (1, "request_headers", "Response"),
        (2, "response_headers", "Response"),
        (3, "request_body", "Response"),
        (4, "response_body", "Response"),
        (5, "request_trailers", "TrailersResponse"),
        (6, "response_trailers", "TrailersResponse"),
        (7, "immediate", "Immediate"),
        (8, "dynamic_metadata", "Struct"),
        (9, "mode", "Mode"),
    ],
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="e.proto", package="e", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field, kind in fields:
            label = _T.LABEL_REPEATED if kind.startswith("*") else _T.LABEL_OPTIONAL
            kind = kind.removeprefix("*")
            added = message.field.add(name=field, number=number, label=label)
            added.type = _KINDS.get(kind, _T.TYPE_MESSAGE)
            if kind == "Struct":
                added.type_name = ".google.protobuf.Struct"
            elif kind not in _KINDS:
                added.type_name = f".e.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    found = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"e.{name}"))
        for name in MESSAGES
    }
    found["Struct"] = message_factory.GetMessageClass(
        pool.FindMessageTypeByName("google.protobuf.Struct")
    )
    return found


CLASSES = _classes()
NONE, STREAMED, BUFFERED, PARTIAL, DUPLEX = range(5)


def struct(value: dict[str, Any]) -> Any:
    from google.protobuf import json_format

    return json_format.ParseDict(value, CLASSES["Struct"]())


def _headers(pairs: dict[str, str] | list[tuple[str, str]], last: bool) -> Any:
    items = pairs.items() if isinstance(pairs, dict) else pairs
    found = CLASSES["Headers"](end_of_stream=last)
    for key, value in items:
        found.headers.headers.add(key=key, raw=value.encode("latin-1"))
    return found


def _finish(message: Any, metadata: dict[str, Any] | None, modes: tuple[int, int] | None) -> bytes:
    for namespace, fields in (metadata or {}).items():
        entry = message.metadata_context.filter_metadata.add(key=namespace)
        entry.value.CopyFrom(struct(fields))
    if modes is not None:
        message.protocol_config.request_body, message.protocol_config.response_body = modes
    return bytes(message.SerializeToString())


def request_headers(
    pairs: dict[str, str] | list[tuple[str, str]],
    *,
    last: bool = False,
    metadata: dict[str, Any] | None = None,
    modes: tuple[int, int] | None = None,
) -> bytes:
    message = CLASSES["Request"](request_headers=_headers(pairs, last))
    return _finish(message, metadata, modes)


def response_headers(
    pairs: dict[str, str] | list[tuple[str, str]],
    *,
    last: bool = False,
    metadata: dict[str, Any] | None = None,
) -> bytes:
    return _finish(CLASSES["Request"](response_headers=_headers(pairs, last)), metadata, None)


def request_body(body: bytes, *, last: bool = True) -> bytes:
    found = CLASSES["HttpBody"](body=body, end_of_stream=last)
    return bytes(CLASSES["Request"](request_body=found).SerializeToString())


def response_body(body: bytes, *, last: bool = True) -> bytes:
    found = CLASSES["HttpBody"](body=body, end_of_stream=last)
    return bytes(CLASSES["Request"](response_body=found).SerializeToString())


def trailers(phase: str) -> bytes:
    message = CLASSES["Request"]()
    getattr(message, phase).SetInParent()
    return bytes(message.SerializeToString())


def reply(data: bytes) -> Any:
    return CLASSES["Reply"].FromString(data)


def set_headers(mutation: Any) -> dict[str, str]:
    """The pairs of a HeaderMutation; each overwrites."""
    pairs = [(o.header.key, o.header.raw.decode("latin-1")) for o in mutation.set]
    assert all(o.action == 2 and not o.header.value for o in mutation.set)
    assert len({key.lower() for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def metadata(found: Any) -> dict[str, Any]:
    from google.protobuf import json_format

    return dict(json_format.MessageToDict(found.dynamic_metadata))
