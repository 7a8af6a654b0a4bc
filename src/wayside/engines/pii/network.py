"""E-mail, web, IP and hardware addresses."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address

from wayside.engines.pii.forms import Form


def is_ipv4(text: str) -> bool:
    """Four numbers up to 255, none with a zero before it; not a mask, not this host."""
    parts = text.split(".")
    fits = all([len(p) < 4 and int(p) < 256 and (p == "0" or p[0] != "0") for p in parts])
    return fits and parts[0] not in ("0", "127", "255")


def is_small(text: str) -> bool:
    """Four numbers below 32: as likely a section, a version or a score."""
    return all([int(p) < 32 for p in text.split(".")])


def is_ipv6(text: str) -> bool:
    """What RFC 4291 allows, but for the shortest: ``::`` and ``a::b`` are in many programs."""
    if len(text) < 7 or (text.count(":") < 3 and "::" not in text):
        return False
    if not any(c.isdigit() for c in text):
        return False
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


# Endings of host names that no file name, method call or sentence has.
_TLD = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|dev|app|cloud|online|shop|site|blog|tech|xyz|eu|"
    "de|fr|es|it|nl|be|at|ch|uk|ie|pl|cz|sk|si|hr|hu|ro|bg|gr|pt|se|no|dk|fi|ee|lv|lt|ru|ua|tr|"
    "us|ca|mx|br|ar|cl|co|uy|au|nz|jp|cn|kr|in|za|il|ae|sa|cy|lu|li|is|me|tv"
)
_C = r"A-Za-z0-9\x{c0}-\x{24f}\x{370}-\x{5ff}"  # scripts that put spaces between words
_LABEL = rf"[{_C}](?:[{_C}_-]*[{_C}])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})+"

_FOUR = r"\b(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})(?:/\d{1,2}|:\d{1,5})?(?:[^\w.]|\.\W|\.?$)"
_HOSTS = (
    "ip",
    "address",
    "host",
    "server",
    "ping",
    "dns",
    "gateway",
    "subnet",
    "client",
    "adresse",
)
_VERSIONS = (
    "version", "release", " v", "ver.", "build", "section", "rev", "firmware", "upgrad", "chapter",
    "§", "driver", "==", ">=", "clause", "heading", "part ", "paragraph", "figure",
)  # fmt: skip

FORMS = (
    Form(
        "EMAIL_ADDRESS",
        rf"[{_C}_][{_C}._%+'’-]*@{_HOST}", 0.98,
        lambda text: text.rpartition(".")[2].isalpha() and len(text.rpartition(".")[2]) > 1
        and ".." not in text,
    ),
    Form("EMAIL_ADDRESS", r"(?i)\b([a-z0-9._%+-]{2,64} ?[\[(]at[\])] ?[a-z0-9.-]{2,60} ?"
         r"(?:\.|[\[(]dot[\])]) ?(?:com|org|net|edu|de|fr|es|it|uk|io))\b", 0.8),
    Form("DOMAIN_NAME", r"(?i)\b(?:https?|ftps?|wss?)://[^\s<>\"'`(){}\[\]|\\^]*"
         r"[^\s<>\"'`(){}\[\]|\\^.,;:!?]", 0.95, lambda text: len(text) > text.index("://") + 4),
    Form("DOMAIN_NAME", rf"(?i)\bwww\.{_HOST}", 0.95),
    Form("DOMAIN_NAME", rf"(?i)\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.){{1,6}}(?:{_TLD})\b",
         0.6, lambda text: text.islower() or "." in text[:-4] or text[1:].islower(),
         unless=("@",)),
    Form("IP_ADDRESS", r"\b(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})/\d{1,2}\b", 0.9, is_ipv4),
    Form("IP_ADDRESS", _FOUR, 0.85, lambda text: is_ipv4(text) and not is_small(text),
         0.95, _HOSTS, _VERSIONS),
    Form("IP_ADDRESS", _FOUR, 0.4, lambda text: is_ipv4(text) and is_small(text),
         0.85, _HOSTS, _VERSIONS),
    Form("IP_ADDRESS", r"(?:^|[^\w:.])((?:[0-9a-fA-F]{1,4}:){1,7}(?::?[0-9a-fA-F]{1,4}){1,7}"
         r"|(?:[0-9a-fA-F]{1,4}:){1,7}:|::(?:[0-9a-fA-F]{1,4}:){0,6}[0-9a-fA-F]{1,4})"
         r"(?:[^\w:]|$)", 0.9, is_ipv6),
    Form("MAC_ADDRESS", r"\b[0-9a-fA-F]{2}(?:(?::[0-9a-fA-F]{2}){5}|(?:-[0-9a-fA-F]{2}){5})\b"
         r"|\b[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}\b", 0.9,
         lambda text: len(set(text.lower()) - set(":-.")) > 2),
)  # fmt: skip
