"""Reading HTTP/2 header blocks (RFC 7541): enough to know what a peer calls, safe on any bytes.

We announce a dynamic table of size 0, but a peer may use the default 4,096 bytes until it has
read that, so the table is kept properly. Nothing here encodes: our few header blocks are
constants (:mod:`wayside.extproc.calls`).
"""

from __future__ import annotations

from typing import Final

Header = tuple[bytes, bytes]

MAX_TABLE: Final = 4096
MAX_LIST: Final = 64 << 10
"""Names and values of one block together, in bytes; more is refused."""


class HpackError(ValueError):
    """The block cannot be decoded, and so no later block of this connection can."""


class Decoder:
    """One connection's decoder. Blocks must be given in the order received."""

    __slots__ = ("_limit", "_pure", "_size", "_table", "_tidy")

    def __init__(self) -> None:
        self._table: list[Header] = []
        self._size = 0
        self._limit = MAX_TABLE
        self._pure = True
        self._tidy: dict[bytes, tuple[Header, ...]] = {}

    def decode(self, block: bytes) -> tuple[Header, ...]:
        """The headers of ``block`` in order; :class:`HpackError` if it is not a header block."""
        known = self._tidy.get(block)
        if known is not None:
            return known
        self._pure = self._limit == 0
        try:
            headers = self._read(block)
        except IndexError:
            raise HpackError("the header block ends early") from None
        if self._pure:
            # Means the same every time, and Envoy sends few distinct ones.
            if len(self._tidy) >= 256:
                self._tidy.clear()
            self._tidy[block] = headers
        return headers

    def _read(self, block: bytes) -> tuple[Header, ...]:
        out: list[Header] = []
        pos, end, total = 0, len(block), 0
        while pos < end:
            first = block[pos]
            if first & 0x80:
                index, pos = _integer(block, pos, 7)
                header = self._indexed(index)
            elif first & 0xE0 == 0x20:
                size, pos = _integer(block, pos, 5)
                if out:
                    raise HpackError("a table size change must come first")
                self._resize(size)
                continue
            else:
                keep = first & 0x40
                index, pos = _integer(block, pos, 6 if keep else 4)
                if index:
                    name = self._indexed(index)[0]
                else:
                    name, pos = _string(block, pos)
                value, pos = _string(block, pos)
                header = (name, value)
                if keep:
                    self._add(header)
            total += len(header[0]) + len(header[1]) + 32
            if total > MAX_LIST:
                raise HpackError("the header list is too large")
            out.append(header)
        return tuple(out)

    def _indexed(self, index: int) -> Header:
        if 0 < index <= len(STATIC):
            return STATIC[index - 1]
        index -= len(STATIC) + 1
        if not 0 <= index < len(self._table):
            raise HpackError("an index points outside the tables")
        return self._table[index]

    def _add(self, header: Header) -> None:
        size = len(header[0]) + len(header[1]) + 32
        self._evict(self._limit - size)
        if size <= self._limit:
            self._table.insert(0, header)
            self._size += size

    def _resize(self, limit: int) -> None:
        if limit > MAX_TABLE:
            raise HpackError("a table size above what was allowed")
        self._pure = limit == 0 == self._limit
        self._tidy.clear()  # with a table of another size, the same bytes may mean another thing
        self._limit = limit
        self._evict(limit)

    def _evict(self, room: int) -> None:
        while self._table and self._size > room:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + 32


def _integer(block: bytes, pos: int, bits: int) -> tuple[int, int]:
    top = (1 << bits) - 1
    value = block[pos] & top
    pos += 1
    if value < top:
        return value, pos
    shift = 0
    while True:
        byte = block[pos]
        pos += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
        if shift > 28:
            raise HpackError("an integer is too large")


def _string(block: bytes, pos: int) -> tuple[bytes, int]:
    huffman = block[pos] & 0x80
    size, pos = _integer(block, pos, 7)
    end = pos + size
    if end > len(block):
        raise HpackError("a string ends beyond the block")
    raw = block[pos:end]
    return (_huffman(raw) if huffman else raw), end


def _huffman(raw: bytes) -> bytes:
    out = bytearray()
    code = length = 0
    for byte in raw:
        for shift in range(7, -1, -1):
            code = code << 1 | (byte >> shift & 1)
            length += 1
            symbol = _SYMBOLS.get((length, code))
            if symbol is not None:
                if symbol == 256:
                    raise HpackError("an end-of-string symbol inside a string")
                out.append(symbol)
                code = length = 0
    if length > 7 or code != (1 << length) - 1:
        raise HpackError("wrong padding after a Huffman string")
    return bytes(out)


# RFC 7541 appendix B is a canonical code: the lengths alone define it. Symbols 0..256 in order,
# one letter each, "a" for a length of 5 bits.
_LENGTHS: Final = (
    "isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfibcccccccccccccccccccc"
    "ccdcdioijbkabababbbaccbbbabcbaabccccckgjixprpprrrsrssssststtrstssssqrsrsstrqprrssqsrrt"
    "qrssqqrqsrssprrrsrrsvvporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwvz"
)


def _symbols() -> dict[tuple[int, int], int]:
    lengths = [ord(letter) - ord("a") + 5 for letter in _LENGTHS]
    table: dict[tuple[int, int], int] = {}
    code = previous = 0
    for symbol in sorted(range(257), key=lambda s: (lengths[s], s)):
        code <<= lengths[symbol] - previous
        previous = lengths[symbol]
        table[previous, code] = symbol
        code += 1
    return table


_SYMBOLS: Final = _symbols()

# RFC 7541 appendix A.
STATIC: Final[tuple[Header, ...]] = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
)
