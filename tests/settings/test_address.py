"""Where a model server is: what is read, what is refused, and the old validator's words.

Row ids (A0-27 to A0-31) are those of the deployment acceptance list; the vectors of the strict
mode are vSR v0.1's ``config_test.go`` 2592-2740, as the specification (2.1) lists them.
"""

from __future__ import annotations

import ipaddress
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.settings.address import Address, parse_address, strict_ip_problem


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "192.168.1.1",
        "10.0.0.1",
        "172.16.0.1",
        "8.8.8.8",
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "2001:db8::1",
        "fe80::1",
        "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
        "::ffff:192.0.2.1",
        "  127.0.0.1  ",
    ],
)
def test_strict_mode_accepts_bare_ip_addresses_a0_27_a0_29(address: str) -> None:
    assert strict_ip_problem(address) is None


_EMPTY = "address cannot be empty"
_SCHEME = "protocol prefixes (http://, https://) are not supported, got: {}"
_PATH = "paths are not supported, got: {}"
_PORT = "port numbers in address are not supported, use 'port' field instead, got: {}"
_FORMAT = "invalid IP address format, got: {}"


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", _EMPTY),
        ("   ", _EMPTY),
        ("\t\n", _EMPTY),
        ("http://127.0.0.1", _SCHEME),
        ("https://192.168.1.1", _SCHEME),
        ("http://localhost", _SCHEME),
        ("https://example.com/path", _SCHEME),
        ("127.0.0.1/path", _PATH),
        ("192.168.1.1/api/v1", _PATH),
        ("localhost/health", _PATH),
        ("::1/", _PATH),
        ("127.0.0.1:8000", _PORT),
        ("192.168.1.1:11434", _PORT),
        ("[::1]:8080", _PORT),
        ("[2001:db8::1]:80", _PORT),
        ("localhost", _FORMAT),
        ("example.com", _FORMAT),
        ("localhost:8000", _FORMAT),
        ("my-server.local", _FORMAT),
        ("256.256.256.256", _FORMAT),
        ("192.168.1", _FORMAT),
        ("[::1]", _FORMAT),
        ("gggg::1", _FORMAT),
        ("fe80::1%eth0", _FORMAT),
    ],
)
def test_strict_mode_refuses_the_rest_in_its_own_words_a0_29_a0_30(
    address: str, problem: str
) -> None:
    assert strict_ip_problem(address) == problem.format(address)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("http://127.0.0.1:8000/v1", _SCHEME),  # before the path and the port
        ("127.0.0.1:8000/v1", _PATH),  # before the port
        ("999.1.1.1:80", _PORT),  # before the format
        ("example.com/v1", _PATH),  # before the format
    ],
)
def test_strict_mode_checks_scheme_then_path_then_port_then_format_a0_30(
    address: str, problem: str
) -> None:
    assert strict_ip_problem(address) == problem.format(address)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.7", Address("http", "10.0.0.7", 80)),
        ("10.0.0.7:8000", Address("http", "10.0.0.7", 8000)),
        ("https://10.0.0.7", Address("https", "10.0.0.7", 443)),
        ("HTTPS://api.example.com", Address("https", "api.example.com", 443)),
        ("http://api.example.com:8080/", Address("http", "api.example.com", 8080)),
        (
            "https://api.example.com/openai/v1/",
            Address("https", "api.example.com", 443, "/openai/v1"),
        ),
        ("localhost:8000", Address("http", "localhost", 8000)),
        ("  vllm:8000\n", Address("http", "vllm", 8000)),
        ("model_a.ns:80", Address("http", "model_a.ns", 80)),
        ("a.b.", Address("http", "a.b.", 80)),
    ],
)
def test_an_endpoint_is_read(text: str, expected: Address) -> None:
    assert parse_address(text) == expected


def test_the_name_of_a_service_in_the_cluster_is_an_endpoint_a0_28() -> None:
    address = parse_address("vllm-model-a.vllm-semantic-router-system.svc.cluster.local:8000")

    assert (address.host.split(".")[0], address.port, address.is_ip) == (
        "vllm-model-a",
        8000,
        False,
    )


@pytest.mark.parametrize(
    ("text", "netloc", "authority"),
    [
        ("::1", "[::1]:80", "[::1]"),
        ("[::1]", "[::1]:80", "[::1]"),
        ("[::1]:8000", "[::1]:8000", "[::1]:8000"),
        ("https://[2001:db8::7]:443/v1", "[2001:db8::7]:443", "[2001:db8::7]"),
        ("::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.1]"),
        ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80", "[fe80::1%eth0]"),
    ],
)
def test_ipv6_is_bracketed_wherever_a_port_follows_a0_31(
    text: str, netloc: str, authority: str
) -> None:
    address = parse_address(text)

    assert (address.netloc, address.authority, address.is_ip) == (netloc, authority, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "host is empty"),
        ("http://", "host is empty"),
        (":8000", "host is empty"),
        ("ftp://a", "'ftp' is not supported"),
        ("http://user:secret@a", "no query, fragment or user"),
        ("http://a/v1?key=secret", "no query, fragment or user"),
        ("http://a#b", "no query, fragment or user"),
        ("a:", "port is empty"),
        ("[::1]:", "port is empty"),
        ("a:0", "1 to 65535"),
        ("a:65536", "1 to 65535"),
        ("a:+80", "1 to 65535"),
        ("a:٣", "1 to 65535"),
        ("a:" + "9" * 5000, "1 to 65535"),
        ("a:b:c", "several colons"),
        ("2001:db8::1:zz", "several colons"),
        ("[10.0.0.1]:80", "IPv6 address in brackets"),
        ("[::1", "IPv6 address in brackets"),
        ("[::1]x", "IPv6 address in brackets"),
        ("[fe80::1%a b]:80", "IPv6 address in brackets"),
        ("256.256.256.256", "neither"),
        ("10.0.0", "neither"),
        ("a..b", "neither"),
        ("-a", "neither"),
        ("a-", "neither"),
        ("a b", "neither"),
        ("a\x00", "neither"),
        ("{{HOST}}:8000", "neither"),
        ("${HOST}:8000", "neither"),
        ("a" * 64, "neither"),
        (".".join(["a" * 60] * 5), "neither"),
        ("http://a/b c", "the path has"),
        ("http://a/b\r\nx: y", "the path has"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_address(text)


def test_a_refusal_never_repeats_a_password() -> None:
    with pytest.raises(ValueError) as caught:
        parse_address("http://user:hunter2@host:8000")

    assert "hunter2" not in str(caught.value)


def test_a_long_wrong_name_is_refused_at_once() -> None:
    start = time.perf_counter()
    for text in ("a" * 250 + "!", "a-" * 120 + "!", "a." * 125 + "!"):
        with pytest.raises(ValueError, match="neither"):
            parse_address(text)

    assert time.perf_counter() - start < 1


@given(st.text() | st.from_regex(r"(https?://)?\[?[\w.:%-]{0,30}\]?(:[0-9]{0,6})?(/.*)?"))
def test_any_text_is_an_endpoint_or_a_value_error(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert parse_address(str(address)) == address
    assert 1 <= address.port <= 65535
    assert str(address).isprintable()


@given(
    st.sampled_from(["http", "https"]),
    st.ip_addresses().map(str),
    st.integers(1, 65535),
    st.sampled_from(["", "/v1", "/a/b.c"]),
)
def test_text_and_address_are_two_forms_of_one_thing(
    scheme: str, host: str, port: int, path: str
) -> None:
    address = Address(scheme, host, port, path)

    assert parse_address(str(address)) == address


@given(st.ip_addresses())
def test_strict_mode_accepts_every_ip_address(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id:
        return
    assert strict_ip_problem(str(ip)) is None


@given(st.text())
def test_strict_mode_has_an_answer_for_any_text(text: str) -> None:
    problem = strict_ip_problem(text)

    assert problem is None or problem.startswith(
        ("address cannot", "protocol prefixes", "paths are", "port numbers", "invalid IP")
    )
