"""Headers that say who somebody is: tokens, keys, credentials in either header.

Nothing of it may raise anything but a refusal, and nothing that was not signed is believed: what
is found out about a token without its key is never somebody.
"""

from __future__ import annotations

from tests.fuzz.targets import check
from wayside.maas import shown
from wayside.maas.jose import BadToken, SigningKey, claims, generate, head, verified
from wayside.vocab.errors import RequestError

WORDS = (
    b"Bearer ",
    b"bearer\t",
    b"Basic ",
    b"eyJhbGciOiJub25lIn0",
    b"eyJhbGciOiJFZERTQSIsImtpZCI6IngifQ",
    b"eyJhbGciOiJIUzI1NiJ9",
    b".",
    b"..",
    b"=",
    b"sk-oai-",
    b", Bearer ",
    b"\xff",
    b"[[[[[[[[[[",
    b"\n",
)

_kid, _pem = generate()
_ours = SigningKey(_kid, _pem)
_good = _ours.sign({"sub": "a", "aud": ["b"], "exp": 2_000_000_000})


def run(data: bytes) -> None:
    text = data.decode("latin-1")
    first, _, second = text.partition("\0")
    for headers in (
        {"authorization": text},
        {"x-api-key": text},
        {"authorization": first, "x-api-key": second},
        {"authorization": f"Bearer {first}", "x-api-key": second, "x-maas-username": second},
    ):
        try:
            shown.refuse_identity(headers)
            found = shown.token(headers)
        except RequestError as error:
            check(error.status in (400, 401, 403), "not a refusal", error.status)
            check(not second or len(second) < 9 or second not in str(error), "a key is repeated")
        else:
            check(found and found == found.strip(), "a token of nothing", found)
    # Bytes of a good token, changed: only itself is believed.
    kept = len(data) % len(_good)
    for token in (text, _good[:kept] + text, text + _good[kept:], text.replace("G", _good)):
        try:
            head(token)
            claims(token)
            verified(token, _ours.public, "EdDSA")
        except BadToken:
            continue
        check(token == _good, "believed what was not signed", token)
