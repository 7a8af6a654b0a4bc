"""Kinds of personal data: what they are called, and which count unless someone says otherwise.

The first seventeen names are those of vSR's and Presidio's token classifiers, so that one set of
rules serves either; the rest are found by the built-in recogniser alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

from wayside.vocab.ask import Span, Spans
from wayside.vocab.errors import Problem

PII_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "AGE": "a person's age",
        "CREDIT_CARD": "a payment card's number",
        "DATE_TIME": "dates, times, years, weekdays",
        "DOMAIN_NAME": "web addresses and host names",
        "EMAIL_ADDRESS": "e-mail addresses",
        "GPE": "countries and cities",
        "IBAN_CODE": "international bank account numbers",
        "IP_ADDRESS": "IPv4 and IPv6 addresses",
        "NRP": "nationalities, religions, political groups",
        "ORGANIZATION": "companies and institutions",
        "PERSON": "names of people",
        "PHONE_NUMBER": "telephone numbers",
        "STREET_ADDRESS": "street and house number, post boxes",
        "TITLE": "forms of address: Mr, Dr",
        "US_DRIVER_LICENSE": "driver licence numbers",
        "US_SSN": "US social security numbers",
        "ZIP_CODE": "postal codes",
        "BANK_ACCOUNT": "account numbers other than IBANs",
        "CRYPTO_ADDRESS": "Bitcoin and Ethereum addresses",
        "MAC_ADDRESS": "hardware addresses",
        "NATIONAL_ID": "national identity and tax numbers, of 19 countries",
        "PASSPORT": "passport numbers",
        "SECRET": "API keys, tokens, private keys, passwords",
    }
)
"""Every type the built-in recogniser can report, and what it means."""

IDENTIFYING = frozenset(
    {
        "BANK_ACCOUNT",
        "CREDIT_CARD",
        "CRYPTO_ADDRESS",
        "EMAIL_ADDRESS",
        "IBAN_CODE",
        "IP_ADDRESS",
        "MAC_ADDRESS",
        "NATIONAL_ID",
        "PASSPORT",
        "PERSON",
        "PHONE_NUMBER",
        "SECRET",
        "STREET_ADDRESS",
        "US_DRIVER_LICENSE",
        "US_SSN",
    }
)
"""Types that point at one person or open a door: those that count by default.

Dates, ages, places, nationalities, organisations, titles, postal codes and web addresses are in
most prompts and identify nobody by themselves; whoever wants them lists them.
"""

BUILT_IN = "pii"
"""The name of the engine whose types are :data:`PII_TYPES`."""


def chosen(types: Sequence[str], allowed: Sequence[str]) -> frozenset[str]:
    """The types that count: ``types``, or :data:`IDENTIFYING` when empty, less ``allowed``."""
    return frozenset(types or IDENTIFYING) - frozenset(allowed)


def unknown_types(
    types: Sequence[str], allowed: Sequence[str], engine: str, where: str = ""
) -> list[Problem]:
    """A problem for each name no recogniser reports, with the nearest that is one.

    Only the built-in types are known here: another ``engine`` may have types of its own.
    """
    if engine != BUILT_IN:
        return []
    return [
        Problem(f"no type of personal data {name!r}", f"{where}{field}[{i}]", _meant(name))
        for field, names in (("types", types), ("allowed", allowed))
        for i, name in enumerate(names)
        if name not in PII_TYPES
    ]


def counted(spans: Spans, types: Collection[str], threshold: float) -> list[Span]:
    """The spans that are of one of ``types`` and at least ``threshold`` sure."""
    return [span for span in spans if span.score >= threshold and span.label in types]


_ALSO = {
    "ADDRESS": "STREET_ADDRESS",
    "API_KEY": "SECRET",
    "EMAIL": "EMAIL_ADDRESS",
    "IBAN": "IBAN_CODE",
    "IP": "IP_ADDRESS",
    "LOCATION": "GPE",
    "NAME": "PERSON",
    "ORG": "ORGANIZATION",
    "PASSWORD": "SECRET",
    "PHONE": "PHONE_NUMBER",
    "SSN": "US_SSN",
    "URL": "DOMAIN_NAME",
}


def _meant(name: str) -> str:
    plain = name.upper().replace("-", "_").replace(" ", "_")
    close = _ALSO.get(plain) or next(iter(get_close_matches(plain, PII_TYPES, 1, 0.5)), None)
    return f"did you mean {close!r}?" if close else f"use one of: {', '.join(PII_TYPES)}"
