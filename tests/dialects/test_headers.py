"""Bodies that a server would read otherwise than we do."""

import pytest

from wayside.dialects import check_headers
from wayside.vocab.errors import RequestError


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {"content-type": "application/json; charset=utf-8"},
        {"content-type": 'application/json; charset="UTF-8"'},
        {"content-type": "text/plain;charset=us-ascii", "content-encoding": "identity"},
    ],
)
def test_plain_json_is_read(headers: dict[str, str]) -> None:
    check_headers(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json; charset=utf-7"},
        {"content-type": "application/json; Charset = 'unicode_escape'"},
        {"content-type": "application/json; charset=utf-8; charset=utf-7"},
        {"content-type": "application/json; charset*=utf-8''utf-7"},
        {"content-type": "application/json; charset=utf-8, text/plain; charset=utf-7"},
        {"content-encoding": "gzip"},
        {"content-encoding": "identity, deflate"},
    ],
)
def test_what_could_be_read_otherwise_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(RequestError) as caught:
        check_headers(headers)
    assert caught.value.status == 415
