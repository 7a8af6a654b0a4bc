"""What a prompt says, without the JSON around it.

Two short requests have most of their JSON in common however little they have to do with each
other, so whoever compares beginnings by their length compares these.
"""

from __future__ import annotations

import msgspec

from wayside.vocab.endpoint import UNREADABLE, Need


class _Message(msgspec.Struct):
    """What of a message, or of an item of the Responses API, models read."""

    role: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()
    tool_calls: msgspec.Raw = msgspec.Raw()
    name: msgspec.Raw = msgspec.Raw()
    arguments: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()


_messages = msgspec.json.Decoder(list[_Message]).decode


def spoken(need: Need) -> bytes:
    """Tools, system prompt and all that was said, in the order in which models read it: JSON
    strings without their quotes, a line for each message that begins with a letter of its role.
    Empty where there is no prompt."""
    found: bytes | None = need.memo.get("spoken")
    if found is None:
        shape = need.shape
        said = [bytes(shape.tools), _bare(shape.system), _bare(shape.instructions)]
        rest = shape.messages or shape.prompt or shape.input
        try:
            for m in _messages(rest):
                said += [bytes(m.role)[1:2], _bare(m.content)]
                if m.tool_calls or m.arguments or m.output:
                    said += map(bytes, (m.tool_calls, m.name, m.arguments, m.output))
                said.append(b"\n")
        except UNREADABLE:  # no list of messages, but a text, or numbers of tokens
            said.append(_bare(rest))
        found = need.memo["spoken"] = b"".join(said)
    return found


def _bare(raw: msgspec.Raw) -> bytes:
    data = bytes(raw)
    return data[1:-1] if data[:1] == b'"' else data
