"""Endpoint addresses as people write them: read, or refused with a ``ValueError``."""

from __future__ import annotations

from tests.fuzz.targets import check
from wayside.settings.address import parse_address, strict_ip_problem

WORDS = (
    b"http://",
    b"https://",
    b"[::1]",
    b"%25eth0",
    b":8000",
    b"localhost",
    b"127.0.0.1",
    b"/v1",
)


def run(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    problem = strict_ip_problem(text)
    try:
        address = parse_address(text)
    except ValueError as error:
        check(str(error), "a refusal without a reason")
        check(not isinstance(error, UnicodeError), "a refusal by accident", error)
        return
    again = parse_address(str(address))
    check(again == address, "an address reads otherwise when written out", address, again)
    for part in (address.netloc, address.authority, address.base_path):
        check(part.isascii() and part.isprintable(), "an address that cannot be sent", part)
        check(" " not in part, "an address with a space", part)
    check(1 <= address.port <= 65535, "a port out of range", address)
    if problem is None:
        check(address.is_ip, "strict_ip accepts a name", text)
