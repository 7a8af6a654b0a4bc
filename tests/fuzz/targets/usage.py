"""The end of a model server's answer, read for its token counts and added to the metrics."""

from __future__ import annotations

import io

from tests.fuzz.targets import check
from wayside.telemetry import Price, Telemetry
from wayside.telemetry.log import Log
from wayside.vocab.outcome import Record
from wayside.vocab.usage import MAX_TOKENS, tokens_in

WORDS = (
    b'"usage":',
    b'{"prompt_tokens":1,"completion_tokens":2}',
    b'"prompt_tokens_details":{"cached_tokens":3}',
    b"data: [DONE]\n\n",
    b"}}",
    b"[[[[[[[[[[[[[[[[",
    b"-1",
    b"1e400",
    b"9" * 400,
    b"null",
)


class _Nowhere(io.StringIO):
    """A log file that keeps nothing."""

    def write(self, text: str, /) -> int:
        return len(text)


_telemetry = Telemetry(log=Log(_Nowhere()), access=Log(_Nowhere()))
_telemetry.prices = {
    "m": Price(currency="USD", prompt=1.0, completion=2.0, cached=0.5, written=1.5)
}
_RECORD = Record(requested="m", model="m")


def run(data: bytes) -> None:
    found = tokens_in(data)
    if found is not None:
        for name, count in found.kinds():
            check(0 <= count <= 2 * MAX_TOKENS, f"a count of {name} tokens that is none", count)
        check(sum(n for _, n in found.kinds()) == found.total, "kinds do not add up", found)
    exchange = _telemetry.begin(shell="gateway")
    exchange.routed(_RECORD)
    exchange.measure(stream=data[:1] == b"d", leads=data[1:2] == b"a").feed(data)
    exchange.ended(status=200)
