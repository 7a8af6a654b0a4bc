"""Half a surrogate pair in JSON: allowed there, and nothing that a text can hold.

JavaScript clients that cut text in the middle of an emoji send one (``"\\ud83d"``).
"""

from __future__ import annotations

import re

# A pair of escaped surrogates, half a pair, or any other escape: consumed in this order, so that
# a half is only what stands alone, and `\\ud83d` (an escaped backslash) is left as it is.
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\."
)


def mended(raw: bytes) -> bytes:
    """The JSON with U+FFFD in the place of each half; the same bytes where there is none."""
    if b"\\ud" not in raw and b"\\uD" not in raw:
        return raw
    whole = _ESCAPES.sub(_mend, raw)
    return raw if whole == raw else whole


def _mend(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if len(escape[0]) == 6 else escape[0]
