"""What the recogniser finds, type by type, and what it leaves alone; and its own corpora."""

import json
import sys
from pathlib import Path

import pytest

from wayside.engines.pii import PiiRecogniser

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "corpora" / "pii"
SHARED = ROOT.parent / "shared" / "data" / "labelled" / "pii_spans.jsonl"
sys.path.append(str(CORPUS))
import evaluate  # noqa: E402
import make  # noqa: E402

RECOGNISER = PiiRecogniser()


def marked(text: str, threshold: float = 0.5) -> list[tuple[str, str]]:
    return [
        (text[s.start : s.end], s.label) for s in RECOGNISER.spans(text) if s.score >= threshold
    ]


@pytest.mark.parametrize(
    ("text", "value", "label"),
    [
        ("card 4111-1111-1111-1111.", "4111-1111-1111-1111", "CREDIT_CARD"),
        ("in 2024 4111 1111 1111 1111 was charged", "4111 1111 1111 1111", "CREDIT_CARD"),
        ("3782 822463 10005", "3782 822463 10005", "CREDIT_CARD"),
        ("my iban GB82WEST12345698765432 from home", "GB82WEST12345698765432", "IBAN_CODE"),
        ("NL91 ABNA 0417 1643 00 bank", "NL91 ABNA 0417 1643 00", "IBAN_CODE"),
        ("ssn 512-66-8042", "512-66-8042", "US_SSN"),
        ("écris à zoé@exemple.fr, merci", "zoé@exemple.fr", "EMAIL_ADDRESS"),
        ("邮箱foo@example.com。", "foo@example.com", "EMAIL_ADDRESS"),
        ("on 203.0.113.9.", "203.0.113.9", "IP_ADDRESS"),
        ("net 10.20.30.0/24", "10.20.30.0", "IP_ADDRESS"),
        ("at 2001:db8::7334:1 now", "2001:db8::7334:1", "IP_ADDRESS"),
        ("see https://a.example/x?y=1.", "https://a.example/x?y=1", "DOMAIN_NAME"),
        ("3c:22:fb:4a:91:0e", "3c:22:fb:4a:91:0e", "MAC_ADDRESS"),
        ("1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
         "CRYPTO_ADDRESS"),
        ("AKIAQ3EGT7PLMZ4XK2WD", "AKIAQ3EGT7PLMZ4XK2WD", "SECRET"),
        ("postgres://app:s3cr3tP4ss@db.example:5432", "s3cr3tP4ss", "SECRET"),
        ("ruf mich an: 0176 5550 1234", "0176 5550 1234", "PHONE_NUMBER"),
        ("zadzwoń 601 234 567", "601 234 567", "PHONE_NUMBER"),
        ("電話は090-1234-5678です", "090-1234-5678", "PHONE_NUMBER"),
        ("+44 (0)20 7946 0018 works", "+44 (0)20 7946 0018", "PHONE_NUMBER"),
        ("(503) 555-0147", "(503) 555-0147", "PHONE_NUMBER"),
        ("fax 555-0147 ext 12", "555-0147 ext 12", "PHONE_NUMBER"),
        ("DNI 12345678Z", "12345678Z", "NATIONAL_ID"),
        ("RSSMRA85T10A562S", "RSSMRA85T10A562S", "NATIONAL_ID"),
        ("PESEL 44051401359", "44051401359", "NATIONAL_ID"),
        ("529.982.247-25", "529.982.247-25", "NATIONAL_ID"),
        ("11010519491231002X", "11010519491231002X", "NATIONAL_ID"),
        ("Aadhaar 2341 2341 2346", "2341 2341 2346", "NATIONAL_ID"),
        ("passport no 533401987", "533401987", "PASSPORT"),
        ("account number 31926819", "31926819", "BANK_ACCOUNT"),
        ("my driver's license number is D1234562", "D1234562", "US_DRIVER_LICENSE"),
        ("I live at 48 Larkspur Lane", "48 Larkspur Lane", "STREET_ADDRESS"),
        ("in der Kantstraße 152a", "Kantstraße 152a", "STREET_ADDRESS"),
        ("my zip code is 97205", "97205", "ZIP_CODE"),
        ("she is 34 years old", "34", "AGE"),
        ("born 17 October 1983", "17 October 1983", "DATE_TIME"),
        ("my name is Wouter van den Heuvel and", "Wouter van den Heuvel", "PERSON"),
        ("меня зовут Ольга", "Ольга", "PERSON"),
        ("Dear Dr. Brandt, hello", "Brandt", "PERSON"),
    ],
)  # fmt: skip
def test_each_type_is_found_in_the_forms_people_write(text: str, value: str, label: str) -> None:
    assert (value, label) in marked(text)


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112 fails Luhn",
        "order 123456789012",
        "GB82WEST12345698765433 has a slip",
        "000-12-3456 and 666-12-3456 and 912-12-3456",
        "version 10.0.22631.2861 and 1.2.3.4",
        "127.0.0.1, 0.0.0.0 and 255.255.255.0",
        "999.1.1.1",
        "unix time 1700000000",
        "123e4567-e89b-12d3-a456-426614174000",
        "ISBN 978-3-16-148410-0",
        "the 2019-2020 season",
        "3.141592653589 + 2.71828",
        "price 1,234.56 or 1 234 567",
        "part no. 555-123-4567",
        "tracking 1Z999AA10123456784",
        "password = getpass.getpass()",
        "a regex for e-mail: [^@]+@[^@]+",
        "std::vector<int> a::b::c",
        "call me Ishmael",
        "12:34:56:78",
        "529.982.247-26",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    found = [f for f in marked(text) if f[1] in evaluate.IDENTIFYING]
    assert found == []


def figures(rows: list[evaluate.Row]) -> tuple[float, float]:
    scores, _ = evaluate.evaluate(rows, RECOGNISER, 0.5)
    recall, precision, *_ = evaluate.together(scores, evaluate.PATTERN_TYPES).figures()
    return recall, precision


@pytest.mark.parametrize("name", ["heldout.txt", "templated.jsonl"])
def test_types_with_a_form_are_found_in_our_own_texts(name: str) -> None:
    recall, precision = figures(evaluate.read(CORPUS / name))
    assert recall > 0.95 and precision > 0.95


@pytest.mark.shared
def test_types_with_a_form_are_found_in_the_public_set() -> None:
    if not SHARED.exists():
        pytest.skip("the labelled data of ../shared is only in this project's workplace")
    recall, precision = figures(evaluate.read(SHARED))
    assert recall > 0.95 and precision > 0.95


def test_hard_negatives_raise_few_alarms() -> None:
    rows = [
        *evaluate.read(CORPUS / "benign.txt"),
        *evaluate.read(CORPUS / "benign_templated.jsonl"),
    ]
    alarmed, lines = evaluate.false_alarms(rows, RECOGNISER, 0.5, evaluate.IDENTIFYING)
    assert alarmed * 100 < len(rows), lines


def test_the_files_are_what_the_generator_makes() -> None:
    for name, made in (("templated", make.rows()), ("benign_templated", make.benign())):
        written = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
        assert (CORPUS / f"{name}.jsonl").read_text("utf-8") == written, "run corpora/pii/make.py"


def test_a_score_counts_overlaps_and_exact_spans_apart() -> None:
    rows = [
        {
            "text": "mail ann@example.org or 2+2",
            "spans": [[5, 12, "EMAIL_ADDRESS"], [24, 27, "AGE"]],
        }
    ]
    scores, lines = evaluate.evaluate(rows, RECOGNISER, 0.5)
    assert scores["EMAIL_ADDRESS"] == evaluate.Score(1, 1, 0, 1, 1)
    assert scores["AGE"] == evaluate.Score(1, 0, 0, 0, 0)
    assert lines["AGE"][0].startswith("missed '2+2'")
