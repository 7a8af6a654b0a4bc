"""Social security, tax, identity, driving and passport numbers.

A number whose check sum one random number in ten passes counts only beside a word that names it.
"""

from __future__ import annotations

from collections.abc import Callable

from wayside.engines.pii.checks import (
    digits,
    is_date,
    luhn,
    mod11_10,
    varied,
    verhoeff,
    weighted,
)
from wayside.engines.pii.forms import Form


def is_ssn(text: str) -> bool:
    """US SSA: no area 000, 666 or 900-999, no group 00, no serial 0000; not a sample number.

    123-45-6789 counts when it is written so: it is what people try a guard with.
    """
    n = digits(text)
    fits = n[:3] not in ("000", "666") and n[0] != "9" and n[3:5] != "00" and n[5:] != "0000"
    samples = ("078051120", "219099999", *(("123456789",) if text == n else ()))
    return fits and n not in samples and varied(n)


def is_german_tax_id(text: str) -> bool:
    """§139b AO: eleven digits, one of the first ten twice or thrice, check by MOD 11,10."""
    n = digits(text)
    most = max(n[:10].count(d) for d in n[:10])
    return n[0] != "0" and 2 <= most <= 3 and mod11_10(n)


def is_french_nir(text: str) -> bool:
    """INSEE: sex, year, month, place, order, and 97 less the remainder by 97 (Corsica 2A, 2B)."""
    n = "".join(c for c in text if c.isalnum()).upper()
    n = n.replace("2A", "19", 1) if n[5:7] == "2A" else n
    n = n.replace("2B", "18", 1) if n[5:7] == "2B" else n
    return n.isdigit() and 97 - int(n[:13]) % 97 == int(n[13:]) and "01" <= n[3:5] <= "99"


def is_spanish_nif(text: str) -> bool:
    """DNI and NIE: the letter for the remainder by 23; X, Y, Z stand for 0, 1, 2."""
    n = "".join(c for c in text if c.isalnum()).upper()
    n = str("XYZ".index(n[0])) + n[1:] if n[0] in "XYZ" else n
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(n[:-1]) % 23] == n[-1]


_ODD = (
    1,
    0,
    5,
    7,
    9,
    13,
    15,
    17,
    19,
    21,
    2,
    4,
    18,
    20,
    11,
    3,
    6,
    8,
    12,
    14,
    16,
    10,
    22,
    25,
    24,
    23,
)


def is_italian_code(text: str) -> bool:
    """Codice fiscale (DM 23/12/1976): odd places by table, even by rank, the sum modulo 26."""
    plain = text.upper()
    total = 0
    for i, c in enumerate(plain[:15]):
        rank = int(c) if c.isdigit() else ord(c) - 65
        total += rank if i % 2 else _ODD[rank]
    return chr(65 + total % 26) == plain[15]


def is_dutch_bsn(text: str) -> bool:
    """The eleven test: weights 9 to 2, and -1 for the last digit."""
    n = digits(text)
    return weighted(n, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and varied(n)


def is_pesel(text: str) -> bool:
    """A day of birth (the century is in the month) and weights 1, 3, 7, 9."""
    n = digits(text)
    month = int(n[2:4])
    year = int(n[:2]) + (1900, 2000, 2100, 2200, 1800)[month // 20]
    right = weighted(n, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0
    return right and is_date(year, month % 20, int(n[4:6]))


def is_nhs(text: str) -> bool:
    """Weights 10 to 2; 11 less the remainder by 11 is the last digit (11 counts 0)."""
    n = digits(text)
    return (11 - weighted(n[:9], (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11) % 11 == int(n[9])


def is_nino(text: str) -> bool:
    """UK national insurance: prefixes HMRC never gives out are refused."""
    return text[:2].upper() not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def is_cpf(text: str) -> bool:
    """Brazil: two check digits, weights falling to 2, modulo 11."""
    n = digits(text)
    return varied(n) and all(
        weighted(n, tuple(range(size + 1, 1, -1))) * 10 % 11 % 10 == int(n[size])
        for size in (9, 10)
    )


def is_cnpj(text: str) -> bool:
    """Brazil, firms: as CPF, with weights 2 to 9 going round from the right."""
    n = digits(text)
    rounds = tuple(i % 8 + 2 for i in range(13))
    return varied(n) and all(
        weighted(n[:size][::-1], rounds) * 10 % 11 % 10 == int(n[size]) for size in (12, 13)
    )


def is_chinese_id(text: str) -> bool:
    """GB 11643: a day of birth and ISO 7064 MOD 11-2, where X is 10."""
    n = text.upper()
    total = sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(n[:17]))
    day = is_date(int(n[6:10]), int(n[10:12]), int(n[12:14]))
    return day and "10X98765432"[total % 11] == n[17]


def is_belgian(text: str) -> bool:
    """97 less the remainder by 97; a 2 stands before the number of those born since 2000."""
    n = digits(text)
    return any(97 - int(lead + n[:9]) % 97 == int(n[9:]) for lead in ("", "2"))


def is_finnish(text: str) -> bool:
    """A day of birth, and the check character for the remainder by 31."""
    day = is_date(1900 + int(text[4:6]), int(text[2:4]), int(text[:2]))
    return day and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31] == text[10]


def is_swedish(text: str) -> bool:
    """Personnummer: month and day, and Luhn's check of the last ten digits."""
    n = digits(text)[-10:]
    return is_date(2000, int(n[2:4]), int(n[4:6]) % 60) and luhn(n)


def is_ahv(text: str) -> bool:
    """Swiss AHV: thirteen digits with the check digit of EAN-13."""
    n = digits(text)
    return weighted(n, (1, 3) * 7) % 10 == 0


def is_turkish(text: str) -> bool:
    """TCKN: the tenth digit from odd and even places, the eleventh from the sum of all."""
    n = [int(c) for c in digits(text)]
    return (sum(n[0:9:2]) * 7 - sum(n[1:8:2])) % 10 == n[9] and sum(n[:10]) % 10 == n[10]


def is_korean(text: str) -> bool:
    """The day of birth before the hyphen."""
    return is_date(2000, int(text[2:4]), int(text[4:6]))


def _of_size(size: int, check: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda text: len(digits(text)) == size and check(text)


_SSN = ("social security", "ssn", "social sec", "soc sec", "ss#", "ss #")
_PASSPORT = (
    "passport", "reisepass", "passnummer", "passeport", "pasaporte", "passaporto", "passaporte",
    "paspoort", "paszport", "паспорт", "护照", "パスポート", "여권", "pasaport", "जवाज़", "جواز",
)  # fmt: skip


def _national(
    pattern: str, check: Callable[[str], bool], alone: float, *words: str, near: float = 0.95
) -> Form:
    return Form("NATIONAL_ID", pattern, alone, check, near, words)


FORMS = (
    Form("US_SSN", r"\b\d{3}-\d{2}-\d{4}\b", 0.85, is_ssn, 0.97, _SSN,
         ("order", "part", "licen", "model", "sku", "ticket")),
    Form("US_SSN", r"\b\d{3} \d{2} \d{4}\b|\b\d{9}\b", 0, is_ssn, 0.85, _SSN),
    # A driver licence has as many forms as there are states: only the words tell.
    Form("US_DRIVER_LICENSE",
         r"(?i)\b(?:driver'?’?s?'?|driving)[ -]?licen[cs]e(?: number| no\.?| id| #)?"
         r"[^a-z0-9\n]{0,4}(?:is|was"
         r"|:)?[ :#]{0,3}([a-z]{0,5}[0-9][a-z0-9]{0,4}[0-9a-z -]{2,16}[a-z0-9])\b",
         0.9, lambda text: sum(c.isdigit() for c in text) >= 4),
    Form("US_DRIVER_LICENSE",
         r"(?i)\b(?:dl|dln|führerschein(?:nummer)?|permis de conduire|(?:permiso|licencia) de "
         r"conduc[a-z]{2,3}|patente(?: di guida)?|cnh|carteira de motorista|rijbewijs(?:nummer)?|"
         r"prawo jazdy)(?:[ -]?(?:nr|no|n°|nummer|number|num[eé]ro|número)\.?)?[^\w\n]{0,3}"
         r"(?:is |ist |es |est |è |é )?[: #]{0,2}([A-Z0-9]{5,16})\b",
         0.85, lambda text: sum(c.isdigit() for c in text) >= 4),
    Form("PASSPORT", r"\b(?:[A-Z]{1,2}[0-9]{6,8}|[A-Z0-9]{9}|[0-9]{2}[A-Z]{2}[0-9]{5}|[0-9]{9}|"
         r"[0-9]{2} ?[0-9]{2} [0-9]{6})\b", 0, lambda text: sum(c.isdigit() for c in text) >= 5,
         0.85, _PASSPORT),
    _national(r"\b\d{2} ?\d{3} ?\d{3} ?\d{3}\b", is_german_tax_id, 0.4,
              "steuer", "idnr", "tax id", "tin", "identifikationsnummer"),
    _national(r"\b[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[ABab]) ?\d{3} ?\d{3} ?\d{2}\b", is_french_nir,
              0.85, "sécurité sociale", "securite sociale", "nir", "insee", "sécu"),
    _national(r"\b(?:[0-9]{8}|[XYZ][- ]?[0-9]{7})[- ]?[A-HJ-NP-TV-Z]\b", is_spanish_nif, 0.8,
              "dni", "nie", "nif", "identidad"),
    _national(r"(?i)\b[a-z]{6}\d{2}[abcdehlmprst]\d{2}[a-z]\d{3}[a-z]\b", is_italian_code, 0.97),
    _national(r"\b\d{9}\b|\b\d{4}[. ]\d{2}[. ]\d{3}\b", is_dutch_bsn, 0,
              "bsn", "burgerservice", "sofinummer", "sofi-nummer"),
    _national(r"\b\d{11}\b", is_pesel, 0.4, "pesel"),
    _national(r"\b\d{3}[ -]?\d{3}[ -]?\d{4}\b", is_nhs, 0, "nhs"),
    _national(r"(?i)\b[a-ceghj-prtw-z][a-ceghj-nprtw-z] ?\d{2} ?\d{2} ?\d{2} ?[a-d]\b", is_nino,
              0.7, "national insurance", "nino", "ni number", "ni no"),
    _national(r"\b[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}\b", verhoeff, 0.4, "aadhaar", "aadhar", "uidai",
              "आधार"),
    _national(r"\b[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]\b", lambda _: True, 0.6, "pan", "tax",
              "पैन"),
    _national(r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b", is_cpf, 0.97),
    _national(r"\b\d{11}\b", is_cpf, 0.4, "cpf"),
    _national(r"\b\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}\b", is_cnpj, 0.97),
    _national(r"\b\d{14}\b", is_cnpj, 0, "cnpj"),
    _national(r"\b[1-9]\d{5}(?:19|20)\d{2}[01]\d[0-3]\d{4}[0-9Xx]\b", is_chinese_id, 0.97),
    _national(r"\b\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}\b", is_belgian, 0.95),
    _national(r"\b\d{6}[-+A]\d{3}[0-9A-FHJ-NPR-Y]\b", is_finnish, 0.85, "henkilö", "hetu"),
    _national(r"\b(?:19|20)?\d{6}[-+]\d{4}\b", is_swedish, 0.7, "personnummer", "personal"),
    _national(r"\b756\.\d{4}\.\d{4}\.\d{2}\b", is_ahv, 0.97),
    _national(r"\b[1-9]\d{10}\b", is_turkish, 0.4, "kimlik", "tckn", "t.c.", "tc no"),
    _national(r"\b\d{6}-[1-4]\d{6}\b", is_korean, 0.8, "주민", "resident"),
    _national(r"\b\d{4}[ -]?\d{4}[ -]?\d{4}\b", _of_size(12, varied), 0,
              "マイナンバー", "個人番号", "my number", near=0.9),
    _national(r"\b\d{3}[ -]?\d{3}[ -]?\d{3}\b", lambda text: luhn(digits(text)), 0,
              "social insurance", "sin number", "sin:", "my sin", near=0.9),
    _national(r"\b\d{3} ?\d{3} ?\d{3}\b", _of_size(9, varied), 0,
              "tax file number", "tfn", near=0.9),
)  # fmt: skip
