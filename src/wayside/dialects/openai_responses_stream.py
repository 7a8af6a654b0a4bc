"""A chat completion's stream as the events of OpenAI's Responses API.

Every event has a number. An item is added, its parts are added, grow and are done, then the item
is done; the last event holds the whole response. Nothing depends on how the bytes were cut.
Source: the OpenAI API reference, streaming events of responses.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from wayside.dialects import UNREADABLE, decode, encode
from wayside.dialects import openai_responses_answer as answer
from wayside.dialects.openai_responses_answer import Head
from wayside.dialects.openai_responses_events import Splitter
from wayside.dialects.stage import Unreadable

MAX_SAID = 16 << 20
"""Characters of one streamed answer: all of it is told again at the end, so it is held."""
MAX_ITEMS = 4096
PartKind = Literal["output_text", "refusal", "reasoning_text"]
_EVENTS = {
    "output_text": "response.output_text",
    "refusal": "response.refusal",
    "reasoning_text": "response.reasoning_text",
}
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class ResponseStage:
    """Translates one answer (:class:`~wayside.dialects.stage.Stage`).

    ``response`` is what the client was told in the end, ``None`` until then.
    """

    def __init__(self, head: Head) -> None:
        self._head = head
        self.response: dict[str, Any] | None = None
        self._events = Splitter()
        self._out: list[bytes] = []
        self._sequence = 0
        self._model = head.model
        self._begun = False
        self._finish_reason: Any = None
        self._usage: dict[str, Any] | None = None
        self._tier: Any = None
        self._said = 0
        self._thought_as = ""
        self._output: list[_Item] = []
        self._talking: _Item | None = None
        self._calls: dict[int, _Item] = {}

    def whole(self, status: int, body: bytes) -> bytes:
        """A whole answer, or an error, which has the same shape in both APIs."""
        try:
            said, _ = decode(_decoder, body)
        except UNREADABLE as error:
            if not 200 <= status < 300:
                return encode(answer.told_error(status, None))
            raise Unreadable("it is no JSON") from error
        if not 200 <= status < 300:
            return encode(answer.told_error(status, said))
        if not isinstance(said, dict) or not isinstance(said.get("choices"), list):
            raise Unreadable("it is no chat completion")
        self.response = answer.told_as_response(self._head, said)
        return encode(self.response)

    def feed(self, chunk: bytes) -> bytes:
        """The events that can be told now."""
        for data in self._events.feed(chunk):
            self._read(data)
        return self._told()

    def finish(self) -> bytes:
        """The rest. A stream that ends without saying so was broken off, and fails."""
        for data in self._events.finish():
            self._read(data)
        if self.response is None:
            self._fail("The model's server broke off its answer")
        return self._told()

    def _told(self) -> bytes:
        out, self._out = self._out, []
        return b"".join(out)

    def _read(self, data: bytes) -> None:
        """One event of the chat's stream."""
        if self.response is not None:
            return
        if data.strip() == b"[DONE]":
            if self._finish_reason is None:
                self._fail("The model's server ended its answer without a reason")
            else:
                self._end()
            return
        try:
            said, _ = decode(_decoder, data)
        except UNREADABLE as error:
            raise Unreadable("an event is no JSON") from error
        if not isinstance(said, dict):
            raise Unreadable("an event is no object")
        if said.get("error"):
            self._refuse(said["error"])
            return
        if not self._begun and isinstance(said.get("model"), str) and said["model"]:
            self._model = said["model"]
        self._begin()
        if isinstance(said.get("usage"), dict):
            self._usage = answer.usage(said["usage"])
        if said.get("service_tier") is not None:
            self._tier = said["service_tier"]
        choices = said.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._think(delta)
            content = delta.get("content")
            if isinstance(content, str) and content:
                logprobs = answer.logprobs(choice.get("logprobs"))
                self._speak("message", "output_text", content, logprobs)
            if isinstance(delta.get("refusal"), str) and delta["refusal"]:
                self._speak("message", "refusal", delta["refusal"])
            calls = delta.get("tool_calls")
            for at, call in enumerate(calls if isinstance(calls, list) else ()):
                if isinstance(call, dict):
                    self._call(call, at)
        if choice.get("finish_reason"):
            self._finish_reason = choice["finish_reason"]

    def _think(self, delta: dict[str, Any]) -> None:
        """Reasoning, under the name it first came by: some servers send it under two."""
        for name in answer.REASONING_FIELDS:
            text = delta.get(name)
            if isinstance(text, str) and text and self._thought_as in ("", name):
                self._thought_as = name
                self._speak("reasoning", "reasoning_text", text)

    def _speak(
        self, kind: str, part: PartKind, text: str, logprobs: list[Any] | None = None
    ) -> None:
        """More text of the item under way, or the first of another."""
        self._count(text)
        item = self._talking
        if item is None or item.kind != kind:
            self._pause()
            item = self._talking = self._add(kind)
        if not item.parts or item.parts[-1].kind != part:
            self._part_done(item)
            item.parts.append(_Part(part))
            self._say(
                "response.content_part.added",
                item_id=item.id,
                output_index=item.place,
                content_index=len(item.parts) - 1,
                part=item.parts[-1].told(),
            )
        item.parts[-1].add(text, logprobs)
        more = {"logprobs": logprobs or []} if part == "output_text" else {}
        self._say(
            f"{_EVENTS[part]}.delta",
            item_id=item.id,
            output_index=item.place,
            content_index=len(item.parts) - 1,
            delta=text,
            **more,
        )

    def _call(self, call: dict[str, Any], at: int) -> None:
        """A piece of a call. It is added with its first piece, which names it."""
        index = call.get("index", at)
        index = index if isinstance(index, int) else at
        asked = call.get("function")
        asked = asked if isinstance(asked, dict) else {}
        item = self._calls.get(index)
        if item is None:
            self._pause()
            item = self._add("function_call", call_id=call.get("id"), name=asked.get("name"))
            self._calls[index] = item
        arguments = asked.get("arguments")
        if isinstance(arguments, str) and arguments:
            self._count(arguments)
            item.arguments.append(arguments)
            self._say(
                "response.function_call_arguments.delta",
                item_id=item.id,
                output_index=item.place,
                delta=arguments,
            )

    def _count(self, text: str) -> None:
        self._said += len(text)
        if self._said > MAX_SAID:
            raise Unreadable("it is too long")

    def _add(self, kind: str, call_id: Any = None, name: Any = None) -> _Item:
        place = len(self._output)
        if place >= MAX_ITEMS:
            raise Unreadable("it has too many parts")
        item = _Item(kind, self._head.item_id(kind, place), place)
        if kind == "function_call":
            item.call_id = call_id if isinstance(call_id, str) and call_id else f"call_{item.id}"
            item.name = name if isinstance(name, str) else ""
        self._output.append(item)
        self._say("response.output_item.added", output_index=place, item=item.told("in_progress"))
        return item

    def _pause(self) -> None:
        """What was being said is done: something else begins."""
        if self._talking is not None:
            self._done(self._talking, "completed")
            self._talking = None

    def _part_done(self, item: _Item) -> None:
        if not item.parts:
            return
        part, place = item.parts[-1], len(item.parts) - 1
        at = {"item_id": item.id, "output_index": item.place, "content_index": place}
        told = part.told()
        name = "refusal" if part.kind == "refusal" else "text"
        more = {"logprobs": told["logprobs"]} if part.kind == "output_text" else {}
        self._say(f"{_EVENTS[part.kind]}.done", **at, **{name: told[name]}, **more)
        self._say("response.content_part.done", **at, part=told)

    def _done(self, item: _Item, status: str) -> None:
        if item.kind == "function_call":
            self._say(
                "response.function_call_arguments.done",
                item_id=item.id,
                output_index=item.place,
                name=item.name,
                arguments="".join(item.arguments),
            )
        else:
            self._part_done(item)
        item.status = status
        self._say("response.output_item.done", output_index=item.place, item=item.told(status))

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            started = self._head.response("in_progress", [], model=self._model)
            self._say("response.created", response=started)
            self._say("response.in_progress", response=started)

    def _end(self) -> None:
        """The stream said that it is over."""
        self._begin()
        status, incomplete = answer.ending(self._finish_reason)
        if not self._output:
            self._talking = self._add("message")
            self._talking.parts.append(_Part("output_text"))
            self._say(
                "response.content_part.added",
                item_id=self._talking.id,
                output_index=0,
                content_index=0,
                part=self._talking.parts[0].told(),
            )
        for item in self._output:
            if not item.status:
                self._done(item, status)
        self.response = self._whole(status, incomplete=incomplete)
        self._say(f"response.{status}", response=self.response)

    def _fail(self, why: str) -> None:
        self._refuse({"message": f"{why}.", "type": "server_error", "code": answer.FAILED})

    def _refuse(self, error: Any) -> None:
        """Tell an error: in the response, and by itself, which clients raise."""
        said = error if isinstance(error, dict) else {"message": str(error)}
        detail = {
            "message": str(said.get("message") or "The answer could not be finished."),
            "type": str(said.get("type") or "server_error"),
            "param": said.get("param"),
            "code": str(said.get("code") or answer.FAILED),
        }
        self._begin()
        limited = detail["code"] == "rate_limit_exceeded"  # a response knows few codes
        told = {
            "code": detail["code"] if limited else answer.FAILED,
            "message": detail["message"],
        }
        self.response = self._whole("failed", error=told)
        self._say("response.failed", response=self.response)
        self._say(
            "error",
            code=detail["code"],
            message=detail["message"],
            param=detail["param"],
            error=detail,
        )

    def _whole(
        self, status: str, incomplete: str = "", error: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return self._head.response(
            status,
            [item.told(item.status or "incomplete") for item in self._output],
            model=self._model,
            incomplete=incomplete,
            error=error,
            usage=self._usage,
            tier=self._tier,
        )

    def _say(self, kind: str, **fields: Any) -> None:
        said = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), encode(said)))


class _Part:
    """One part of a message, growing."""

    __slots__ = ("_logprobs", "_texts", "kind")

    def __init__(self, kind: PartKind) -> None:
        self.kind: PartKind = kind
        self._texts: list[str] = []
        self._logprobs: list[Any] = []

    def add(self, text: str, logprobs: list[Any] | None) -> None:
        self._texts.append(text)
        self._logprobs += logprobs or []

    def told(self) -> dict[str, Any]:
        text = "".join(self._texts)
        if self.kind == "output_text":
            return answer.output_text(text, self._logprobs)
        return {"type": self.kind, "refusal" if self.kind == "refusal" else "text": text}


class _Item:
    """One item of the output, growing; ``status`` is empty until it is done."""

    __slots__ = ("arguments", "call_id", "id", "kind", "name", "parts", "place", "status")

    def __init__(self, kind: str, id: str, place: int) -> None:
        self.kind, self.id, self.place = kind, id, place
        self.status = ""
        self.parts: list[_Part] = []
        self.arguments: list[str] = []
        self.call_id = self.name = ""

    def told(self, status: str) -> dict[str, Any]:
        if self.kind == "function_call":
            arguments = "".join(self.arguments)
            return answer.function_call(self.id, self.call_id, self.name, arguments, status)
        parts = [part.told() for part in self.parts]
        if self.kind == "message":
            return answer.message(self.id, parts, status)
        text = "".join(part["text"] for part in parts)
        return answer.reasoning(self.id, text, status)
