"""Telephone numbers: the type with no form of its own.

A run of digits is a telephone number because of its country code, because a word beside it says
so, because of a grouping that only telephones have, or because it is valid in a country that the
text points to; Google's libphonenumber (the `phonenumbers` package) knows what is valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers

from wayside.engines.pii.checks import digits
from wayside.engines.pii.page import Page
from wayside.vocab.ask import Span
from wayside.vocab.patterns import compile_pattern

_ENOUGH = 300
"""Numbers per text that are looked up (20 us each). Beyond, those that look right count unseen:
a text that hides a telephone number behind a thousand numbers does not get it through."""

_RUN = re.compile(
    r"[+(0-9](?:[ .\-/()\u00a0\u2010-\u2013]{0,3}\d){5,19}"  # a set first: five times the speed
    r"(?: ?(?:x|ext\.?|extension|durchwahl) ?\d{1,6})?",
    re.ASCII | re.IGNORECASE,
)
_EXTENSION = re.compile(r" ?[a-z]+\.? ?\d+$", re.IGNORECASE)
_PIECE = re.compile(r"\d+")
_GLUE = "+_.,/\\:#@%&=$€£¥*^-"  # before a digit: part of something else

# RE2's word boundary knows ASCII letters only, so words that begin or end otherwise stand outside.
_SAYS_PHONE = compile_pattern(
    r"(?i)\b(?:(?:tele)?phone|tel|mobile|cell|cellphone|fax|desk|sms|whatsapp|telegram|hotline"
    r"|answering|messages? (?:to|on|at)|registered|telefon|handy|mobil|mobilnummer|festnetz"
    r"|rufnummer|anrufen|ruf|erreichbar|téléphone|portable|appele[rz]|joindre|teléfono|telefono"
    r"|móvil|celular|llámame|llama|llamar|cellulare|chiamami|chiamare|telefone|telemóvel|ligue"
    r"|ligar|liga|bel|bellen|telefoon|mobiel|telefonu|komórka|komórkowy|numer telefonu|puhelin"
    r"|puh"
    r"|tlf|mobilen|gsm|cep|mon numéro est|my number is)\b|zadzwoń"
    r"|\b(?:call|calls|called|calling|text|txt|ring|dial|reach|contact|message)"
    r"(?:[: ]+(?:me|us|him|her|them|back|on|at|this|my|number)\b|[: ]*$)"
    r"|телефон|звони|тел\.|мобильн|мой номер|по номеру|電話|携帯|电话|手机|致电|전화|휴대폰"
    r"|연락처"
    r"|هاتف|جوال|اتصل|फ़ोन|फोन|मोबाइल|कॉल|☎|📞|📱"
)
_SAYS_OTHER = compile_pattern(
    r"(?i)\b(?:order|invoice|ref|reference|tracking|parcel|ticket|case|isbn|issn|doi|sku|part"
    r"|serial|"
    r"s/n|p/n|pn|version|account|acct|iban|card|cc|ssn|social security|zip|postcode|id|model"
    r"|item|"
    r"product|barcode|ean|upc|batch|lot|port|pid|revenue|population|price|total|usd|eur|date"
    r"|dob|born|"
    r"license|licence|passport|bestellnummer|rechnung|auftrag|kundennummer|commande|facture"
    r"|pedido|"
    r"factura|ordine|fattura|fatura|bestelling|zamówienie|faktura|timestamp|unix|epoch|bytes"
    r"|nhs|bsn|"
    r"pesel|cpf|cnpj|aadhaar|dni|nif|routing|sort code|policy|patent|hash|commit|issue|bug"
    r"|error|code|"
    r"row|build|flight|contract|claim|konto|steuer|ustid|vat|figure|sum|loan|confirmation"
    r"|booking|"
    r"room|pin|otp|token)\b|заказ|счёт|счет|订单|注文|주문|طلب|単号|单号|身份证"
)
_UNITS = re.compile(
    r" ?(?:%|°|€|\$|£|km|kg|mm|cm|mb|gb|kb|ms|usd|eur|people|bytes|px|hz|x\d|\*|/)"
)

_SCRIPTS = (
    (re.compile("[\u0400-\u04ff]"), ("RU", "UA", "BG", "KZ")),
    (re.compile("[\u3040-\u30ff]"), ("JP",)),
    (re.compile("[\uac00-\ud7a3]"), ("KR",)),
    (re.compile("[\u4e00-\u9fff]"), ("CN", "TW", "HK")),
    (re.compile("[\u0600-\u06ff]"), ("SA", "EG", "AE", "MA")),
    (re.compile("[\u0900-\u097f]"), ("IN",)),
    (re.compile("[\u0370-\u03ff]"), ("GR", "CY")),
    (re.compile("[\u0590-\u05ff]"), ("IL",)),
    (re.compile("[\u0e00-\u0e7f]"), ("TH",)),
)
_LANGUAGES = (
    (" the | is | my | and | you | to ", ("US", "GB", "AU", "IN")),
    (" und | ich | der | die | ist | bitte | mein", ("DE", "AT", "CH")),
    (" je | le | est | vous | mon | les | une | moi ", ("FR", "BE", "CH")),
    (" el | los | por | mi | es | una | para ", ("ES", "MX", "AR", "CO")),
    (" il | che | mio | sono | per | della ", ("IT", "CH")),
    (" o | meu | não | você | para | uma ", ("BR", "PT")),
    (" het | een | mijn | ik | van | niet ", ("NL", "BE")),
    (" jest | się | mój | na | proszę | nie ", ("PL",)),
    (" bir | ve | benim | için | beni ", ("TR",)),
    (" och | är | jag | mitt | det ", ("SE",)),
)
_LANGUAGE_PATTERNS = tuple((re.compile(words), lands) for words, lands in _LANGUAGES)

# Groupings that telephones have and little else.
_TELLING = re.compile(
    r"(?:1[ .-])?\(\d{3}\) ?\d{3}[ .-]\d{4}|(?:1[ .-])?\d{3}([.-])\d{3}\1\d{4}"  # North America
    r"|0\d(?:([ .-])\d{2})(?:\2\d{2}){3}"  # France
    r"|07\d{3} \d{3} ?\d{3}|0[12]\d{1,3} \d{3,4} \d{3,4}|020 \d{4} \d{4}"  # United Kingdom
    r"|\(0\d{1,4}\) ?\d{3,4}[ -]?\d{3,6}|0\d{2,4}/\d{5,9}"
    r"|0\d{1,3}-\d{3,4}-\d{4}"  # Japan, Korea
    r"|\(\d{2}\) ?9?\d{4}-\d{4}"  # Brazil
    r"|8 ?\(\d{3}\) ?\d{3}-\d{2}-\d{2}"  # Russia
    r"|04\d{2} \d{3} \d{3}|\(0\d\) \d{4} \d{4}"  # Australia
)


def find(page: Page) -> Iterator[Span]:
    """Telephone numbers in ``page``, with how sure that is."""
    if page.has_digits:
        look_up = _LookUp(page)
        for run in _RUN.finditer(page.text):
            for start, end in _numbers(page.text, *run.span()):
                score = _score(page, look_up, start, end)
                if score:
                    yield Span(start, end, "PHONE_NUMBER", score)


def _numbers(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The run as one number, or the numbers that spaces divide when it is too long for one."""
    if end - start <= 16 or len(digits(text[start:end])) <= _MOST:
        yield start, end
        return
    at, upto, count = start, start, 0
    for piece in text[start:end].split(" "):
        size = len(digits(piece))
        if count >= 7 and (count + size > _MOST or piece[:1] in ("0", "+", "(") or upto - at > 9):
            yield at, upto
            at, count = upto + 1, 0
        count += size
        upto += len(piece) + (upto > start)
    yield at, upto


_MOST = 15  # digits, E.164


class _LookUp:
    """libphonenumber, asked a bounded number of times about one text."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._left = _ENOUGH
        self._regions: tuple[str, ...] | None = None

    @property
    def spent(self) -> bool:
        return self._left <= 0

    def abroad(self, number: str) -> float:
        """How surely a number with its country code is one."""
        self._left -= 1
        return _international(number)

    def at_home(self, number: str, *regions: str) -> bool:
        """Whether the number is valid in one of ``regions``, else of those the text points to."""
        if not regions:
            if self._regions is None:
                self._regions = _regions(self._page)
            regions = self._regions
        self._left -= len(regions)
        return any([_valid(number, region) for region in regions])


def _score(page: Page, look_up: _LookUp, start: int, end: int) -> float:
    text = page.text
    written = text[start:end]
    if written.count("(") != written.count(")") or not _stands_alone(text, start, end):
        return 0.0
    number = _EXTENSION.sub("", written)
    count = len(digits(number))
    if not 6 <= count <= _MOST or _DATE.fullmatch(number) or _SUM.match(number):
        return 0.0
    abroad = number[0] == "+" or (number.startswith("00") and count >= 10)
    telling = _TELLING.fullmatch(number) is not None
    if look_up.spent:
        return 0.6 if abroad or telling else 0.0
    said = _said(page, start, end)
    if abroad:
        sure = look_up.abroad(number) - (0.0 if number[0] == "+" else 0.25)
        if said < 0 and sure < 0.9:
            return 0.0
        return max(sure, 0.85) if said > 0 else max(sure, 0.0)
    if said:
        return 0.85 if said > 0 else 0.0
    if not telling and _COUNT.fullmatch(number):
        return 0.0
    if len(_PIECE.findall(number)) > 1:
        valid = look_up.at_home(number)
        if telling:
            return 0.8 if valid or "(" in number else 0.6
        return (0.6 if number[0] in "0(" else 0.4) if valid else 0.0
    chinese = count == 11 and number[0] == "1" and _han(page)
    return 0.7 if chinese and look_up.at_home(number, "CN") else 0.0


def _stands_alone(text: str, start: int, end: int) -> bool:
    if start:
        before = text[start - 1]
        glued = before.isascii() and (before.isalnum() or before in _GLUE)
        # "Tel:0301234567", "phone=..." and "office,0301..." are written by people and machines
        if glued and (before not in ":=,;" or text[start - 2 : start - 1].isdigit()):
            return False
    after = text[end : end + 2]
    if not after:
        return True
    if after[0].isascii() and (after[0].isalnum() or after[0] in "_%@=\\^*"):
        return False
    return not (after[0] in ".,:-/" and after[1:2].isdigit())


_DATE = re.compile(
    r"(?:1[5-9]|2[01])\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:[0-2]?\d|3[01])(?:\D.*)?"
    r"|(?:[0-2]?\d|3[01])[-/.](?:[0-2]?\d|3[01])[-/.](?:1[89]|20)\d\d(?:\D.*)?"
    r"|(?:19|20)\d\d ?[-–/] ?(?:19|20)\d\d|\d{1,3}(?:\.\d{1,3}){3}"
)
"""Days, spans of years, IPv4 addresses: never telephones."""

_SUM = re.compile(r"\+ |\+[2-689]\.")
"""What is added: ``+ 3.14``."""

_COUNT = re.compile(
    r"\d{1,3}(?:[ .]\d{3}){2,}|\d{3}-\d{2}-\d{4}|\d{4}(?:[ -]\d{4}){2,}|\d+\.\d+(?: \d+\.\d+)*"
    r"|\d{1,2}(?:[ -]\d{1,2}){3,}|\d-\d+-\d+-\d+|97[89][- ]?\d.*"
)
"""Thousands, decimals, cards, SSNs, book numbers: telephones only beside a word that says so."""


def _said(page: Page, start: int, end: int) -> int:
    """1 if the nearest word names a telephone, -1 if it names another number, else 0."""
    before = page.before(start, 44)
    line = before.rsplit("\n\n", 1)[-1]
    phone = other = -1
    encoded = line.encode("utf-8", "replace")
    for match in _SAYS_PHONE.finditer(encoded):
        phone = match.end()
    for match in _SAYS_OTHER.finditer(encoded):
        other = match.end()
    if phone > other and len(encoded) - phone <= _NEAR:
        return 1
    after = page.after(end, 14).split("\n")[0]
    if _AFTER.match(after):
        return 1
    if other >= 0 and len(encoded) - other < 22:
        return -1
    return -1 if _UNITS.match(after) else 0


_NEAR = 28  # bytes between a word that says telephone and the number
_AFTER = re.compile(
    r"[ ,;\-(\\]{0,4}(?:office|fax|mobile|phone|cell|home|work|tel|mobil|handy|büro|privat"
    r"|direct|desk)"
)


def _international(number: str) -> float:
    written = number if number[0] == "+" else "+" + number[2:]
    written = re.sub(r"\(0\)", "", written)
    try:
        parsed = phonenumbers.parse(written, None)
    except phonenumbers.NumberParseException:
        return 0.0
    if phonenumbers.is_valid_number(parsed):
        return 0.95
    return 0.7 if phonenumbers.is_possible_number(parsed) else 0.0


def _valid(number: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


def _regions(page: Page) -> tuple[str, ...]:
    """Countries whose numbers this text may hold, from its script and its commonest words."""
    sample = page.sample
    found: list[str] = []
    if not sample.isascii():
        for script, lands in _SCRIPTS:
            if script.search(sample):
                found += lands
                break
    best: tuple[str, ...] = ("US", "GB", "AU", "IN")
    most = 0
    for pattern, lands in _LANGUAGE_PATTERNS:
        count = len(pattern.findall(f" {sample} "))
        if count > most:
            best, most = lands, count
    if most or not found:
        found += best
    return tuple(found)


def _han(page: Page) -> bool:
    return not page.sample.isascii() and _SCRIPTS[3][0].search(page.sample) is not None
