"""Check digits of cards, accounts and national numbers. Each takes the text as written."""

from __future__ import annotations

from datetime import date


def digits(text: str) -> str:
    """The ASCII digits of ``text``."""
    return "".join([c for c in text if "0" <= c <= "9"])


def luhn(number: str) -> bool:
    """ISO/IEC 7812-1: doubling every second digit from the right, the sum ends in 0."""
    total = 0
    for i, c in enumerate(reversed(number)):
        d = ord(c) - 48
        if i % 2:
            d = d * 2 - 9 if d > 4 else d * 2
        total += d
    return total % 10 == 0


def varied(number: str) -> bool:
    """Not all one digit: 0000 0000 passes most check sums."""
    return len(set(number)) > 1


def mod97(text: str) -> int:
    """ISO 7064 MOD 97-10 of letters and digits, letters counting 10 to 35."""
    return int("".join([str(int(c, 36)) for c in text])) % 97


def mod11_10(number: str) -> bool:
    """ISO 7064 MOD 11,10, the last digit being the check digit."""
    product = 10
    for c in number[:-1]:
        total = (int(c) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(number[-1])


def weighted(number: str, weights: tuple[int, ...]) -> int:
    """The sum of digits times weights."""
    return sum([int(c) * w for c, w in zip(number, weights, strict=False)])


_D = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_P = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def verhoeff(number: str) -> bool:
    """Verhoeff's dihedral check (1969), as India's Aadhaar uses it."""
    check = 0
    for i, c in enumerate(reversed(digits(number))):
        check = int(_D[check][int(_P[i % 8][int(c)])])
    return check == 0


def is_date(year: int, month: int, day: int) -> bool:
    """Whether there is such a day."""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
