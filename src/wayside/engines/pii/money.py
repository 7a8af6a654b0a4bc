"""Payment cards, bank accounts and crypto addresses."""

from __future__ import annotations

from hashlib import sha256

from wayside.engines.pii.checks import digits, luhn, mod97, varied
from wayside.engines.pii.forms import Form


def is_card(text: str) -> bool:
    """Luhn's check, an issuer's range (ISO/IEC 7812) and a length that issuer uses."""
    number = digits(text)
    size, head = len(number), number[:4]
    two, four = int(head[:2]), int(head)
    if head[0] == "4":
        fits = size in (13, 16, 19)  # Visa
    elif 51 <= two <= 55 or 2221 <= four <= 2720:
        fits = size == 16  # Mastercard
    elif two in (34, 37):
        fits = size == 15  # American Express
    elif two in (36, 38, 39) or 300 <= four // 10 <= 305 or four // 10 == 309:
        fits = 14 <= size <= 19  # Diners Club
    elif two in (60, 64, 65, 62, 81, 35):
        fits = 16 <= size <= 19  # Discover, RuPay, UnionPay, JCB
    elif four in (1800, 2131):
        fits = size == 15  # JCB's older range
    elif two in (50, 56, 57, 58, 61, 63, 66, 67, 68, 69):
        fits = 12 <= size <= 19  # Maestro
    elif 2200 <= four <= 2205:
        fits = 16 <= size <= 19  # Mir
    else:
        fits = False
    return fits and luhn(number) and varied(number)


def is_plain_card(text: str) -> bool:
    """A card of a length (15, 16) that most numbers of other sorts do not have."""
    return len(digits(text)) in (15, 16) and is_card(text)


# ISO 13616: the length of an IBAN by its country (SWIFT's registry, release 99).
_IBAN_LENGTHS = {
    15: "NO", 16: "BE", 18: "DK FO FI GL NL SD FK", 19: "MK SI",
    20: "AT BA EE KZ LT LU XK MN", 21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ TL OM SO", 24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST",
    26: "IS TR", 27: "BI FR DJ GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
_LENGTH_OF = {land: size for size, lands in _IBAN_LENGTHS.items() for land in lands.split()}


def is_iban(text: str) -> bool:
    """The country's length, and a remainder of 1 by 97 with the first four moved to the end."""
    plain = "".join([c for c in text if c.isalnum()]).upper()
    return _LENGTH_OF.get(plain[:2]) == len(plain) and mod97(plain[4:] + plain[:4]) == 1


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def is_base58check(text: str) -> bool:
    """Bitcoin's old addresses: 21 bytes, and the first four of their double SHA-256."""
    number = 0
    for c in text:
        number = number * 58 + _BASE58.index(c)
    if number.bit_length() > 200:
        return False
    raw = number.to_bytes(25, "big")
    return sha256(sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def is_bech32(text: str) -> bool:
    """BIP 173 and BIP 350: the polynomial check sum of a segwit address."""
    plain = text.lower()
    mark = plain.rindex("1")
    head = [ord(c) >> 5 for c in plain[:mark]] + [0] + [ord(c) & 31 for c in plain[:mark]]
    check = 1
    for value in head + [_BECH32.index(c) for c in plain[mark + 1 :]]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, part in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= part if top >> i & 1 else 0
    return check in (1, 0x2BC830A3)


_CARD = (
    "card", "cc", "credit", "debit", "visa", "mastercard", "amex", "maestro", "pan",
    "karte", "carte", "tarjeta", "carta", "cartão", "cartao", "kaart", "karta", "karty", "kart",
    "карт", "カード", "卡", "카드", "بطاقة", "कार्ड",
)  # fmt: skip
_ACCOUNT = (
    "account n", "account #", "acct", "account:", "account is", "bank account", "routing",
    "sort code", "a/c", "kontonummer", "konto-nr", "compte", "cuenta", "conto ", "conta ",
    "rekening", "numer konta", "счет", "счёт", "口座", "账号", "帐号", "账户", "계좌", "hesap",
)  # fmt: skip

FORMS = (
    Form(
        "CREDIT_CARD",
        r"\b\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{3})?\b|\b\d{4}[ -]\d{6}[ -]\d{4,5}\b|\b\d{15,16}\b",
        0.9, is_card, 0.98, _CARD,
    ),
    Form("CREDIT_CARD", r"\b\d{12,14}\b|\b\d{17,19}\b", 0.45, is_card, 0.9, _CARD),
    Form(
        "IBAN_CODE", r"(?i)\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b", 0.98, is_iban,
    ),
    Form(
        "IBAN_CODE", r"\b[A-Z]{2}\d{2}(?:[ -][A-Z0-9]{4}){2,7}(?:[ -][A-Z0-9]{1,3})?\b",
        0.98, is_iban,
    ),
    # An IBAN with a slip in it is still somebody's account.
    Form(
        "IBAN_CODE", r"(?i)\biban\b[^a-z0-9\n]{0,4}(?:is |no\.? |number )?[: ]{0,2}"
        r"([a-z]{2}\d{2}(?:[a-z0-9]{11,30}"
        r"|(?:[ -][a-z0-9]{2}\d{2}){2,7}(?:[ -][0-9]{1,3})?))\b", 0.7,
    ),
    Form(
        "BANK_ACCOUNT", r"\b\d{6,17}\b|\b\d{2}-\d{2}-\d{2} \d{8}\b", 0, near=0.6, words=_ACCOUNT,
        unless=("order", "invoice", "phone", "tel", "call", "zip", "card"),
    ),
    Form(
        "BANK_ACCOUNT", r"(?i)\b(?:sort code|routing(?: number| no)?|aba|blz|bsb)"
        r"[^a-z0-9\n]{0,3}(?:is |number )?[: ]{0,2}(\d{2}-\d{2}-\d{2}|\d{6,9}"
        r"|\d{3}-\d{3})\b", 0.8,
    ),
    Form("CRYPTO_ADDRESS", r"\b0x[0-9a-fA-F]{40}\b", 0.9),
    Form("CRYPTO_ADDRESS", r"\b[13][1-9A-HJ-NP-Za-km-z]{25,34}\b", 0.98, is_base58check),
    Form(
        "CRYPTO_ADDRESS", r"\bbc1[02-9ac-hj-np-z]{11,71}\b|\bBC1[02-9AC-HJ-NP-Z]{11,71}\b",
        0.98, is_bech32,
    ),
)  # fmt: skip
