"""Names of people and organisations, places, nationalities and titles: words, not forms.

A lexical recogniser: what introduces a name ("my name is", "Dear", "Dr."), what closes one
("GmbH"), and lists of common names. It reads no grammar, misses rare names that nothing
introduces, and takes "Virginia Woolf" for a person, which she was. An engine that has learnt
names takes its place through the `engine` setting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wayside.engines.pii.names import COUNTRIES, GIVEN, NATIONS, words
from wayside.engines.pii.page import Page
from wayside.vocab.ask import Span
from wayside.vocab.patterns import compile_pattern

_UPPER = "A-Z\u00c0-\u00d6\u00d8-\u00de\u0100-\u017f\u0386-\u03ab\u0400-\u042f"
_CAP = rf"[{_UPPER}][^\W\d_]*(?:['’-][^\W\d_]+){{0,3}}"
_JOIN = r"(?:(?:van|von|de|der|den|da|dos|del|della|di|la|le|bin|ibn|al|el|zu|y|ter|ten)[ ])"
# "Anna", "Anna K. van der Berg", "O'Neill"; one line, at most five words
_RUN = re.compile(
    rf"(?<![^\W_])(?:{_CAP}|[{_UPPER}]\.)(?:[ \u00a0](?:{_JOIN}){{0,2}}(?:{_CAP}"
    rf"|[{_UPPER}]\b\.?)){{0,4}}"
)
_CAPITAL = re.compile(rf"[{_UPPER}]")

TITLES: Final = words(
    """
    Mr Mrs Ms Miss Mx Dr Prof Professor Herr Frau Hr Fr Monsieur Madame Mme Mlle Señor Señora Sr
    Sra Srta Signor Signora Sig Dott Dottoressa Senhor Senhora Dhr Mevr Meneer Mevrouw Pan Pani
    Rev Sir Dame Lord Lady Herrn Don Doña Bay Bayan
    """
)
_STRONG_TITLES: Final = TITLES - {
    "Fr",
    "Pan",
    "Bay",
    "Don",
    "Miss",
    "Sig",
    "Lord",
    "Lady",
    "Dame",
    "Sr",
}

_FIRM: Final = words(
    """
    Inc Inc. Ltd Ltd. Limited LLC LLP PLC plc Corp Corp. Corporation Company Co. GmbH AG KG SE
    SpA S.p.A. S.A. SARL SAS BV B.V. NV AB Oy ApS AS Group Holdings Partners Associates
    Foundation Institute University College Bank Hospital Clinic Incorporated Solutions
    Technologies Consulting Sons Orchestra Agency Ministry Insurance Airlines Industries
    Enterprises Universität Universidad Université
    """
)
_STATES: Final = frozenset({"Republic", "Kingdom", "Union", "Emirates", "Arabia"})
# Words that begin sentences or name things, so they start no name even in capitals.
_NO_NAME: Final = words(
    """
    I The A An My Your His Her Our Their This That These Those It He She We You They In On At
    For From To Of And Or But If When Where What Who Why How Is Are Was Were Do Does Did Can
    Could Would Should Please Dear Hi Hello Hey Thanks Thank Best Kind Regards Yes No Not Some
    Any Let Write Explain Tell Give Monday Tuesday Wednesday Thursday Friday Saturday Sunday
    January February March April May June July August September October November December Python
    Java Docker Linux Windows Google Sincerely Cheers Name Phone Email Address Date Customer
    Patient User Bot Order Subject Re Ask Call Send Meet Since University Street Road Avenue
    North South East West New United States City Bank River Lake Mount
    """
)

_INTRODUCES = compile_pattern(
    r"(?i)(?:\b(?:my (?:full |first |last )?name(?: is|['’]s)|i am called|call me|this is|i['’]?m"
    r"|i am|"
    r"what['’]?s your (?:last |first )?name\?(?: user:)?|name on the account\? user:"
    r"|signed(?: by)?[,:]?|"
    r"(?:mein )?name ist|ich hei(?:ß|ss)e|ich bin|je m['’]appelle|mon nom est|je suis|me llamo"
    r"|mi nombre es|soy|"
    r"mi chiamo|sono|il mio nome è|meu nome é|me chamo|chamo-me|sou|ik heet|mijn naam is|ik ben|"
    r"nazywam się|mam na imię|jag heter|mitt namn är|jeg heter|adım|benim adım|"
    r"(?:best |kind |warm )?regards,?|sincerely,?|cheers,?|thanks,?|viele grüße,?"
    r"|mit freundlichen grüßen,?|"
    r"cordialement,?|saludos,?|cordiali saluti,?|atenciosamente,?|met vriendelijke groet,?|"
    r"dear|hi|hello|hallo|liebe[r]?|bonjour|hola|ciao|olá|beste|"
    r"(?:full |first |last |given |middle |maiden |sur|customer |patient |client |user "
    r"|contact |legal |"
    r"account |card ?holder )?[_ ]?name[\"']?|vorname|nachname|familienname|nom|prénom|nombre"
    r"|apellidos?|nome|"
    r"cognome|sobrenome|naam|voornaam|achternaam|imię|nazwisko|imię i nazwisko|patient|employee|"
    r"tenant|applicant|recipient|cardholder|account holder|married to|my (?:wife|husband|son"
    r"|daughter|brother|sister|boss|friend|colleague|kid|neighbour|neighbor)|(?:contact|from"
    r"|attn):)"
    r"|меня зовут|мое имя|моё имя|имя|фио)"
    r"[ \t]?[:=,]?[ \t]?[\n\"']{0,3}[ ]{0,4}(?:is )?"
)
_WORDS = re.compile(r"[^\W\d_][^\W\d_]*(?:['’.-][^\W\d_]*)*(?: [^\W\d_](?:[^\W\d_]|['’.-])*){0,4}")
_EAST = compile_pattern(
    r"(?:我叫|我的名字是|我是|姓名[:： ]{1,2}|名字[:： ]{1,2}"
    r"|联系人[:： ]{1,2})(\p{Han}{2,4})(?:[，,。.、；;！! \n\"]|$)"
    r"|(?:私の名前は|名前は|氏名[:： ]{0,2}"
    r"|お名前[:： ]{0,2})([\p{Han}\p{Hiragana}\p{Katakana}]{2,8}?"
    r"(?: [\p{Han}\p{Katakana}]{1,4})?)"
    r"(?:です|と申します|[。、，\n\"]|$)"
    r"|([\p{Han}]{2,4})(?:さん|様|先生|女士|小姐)"
    r"|(?:제 이름은|저는|이름[:：은는 ]{1,3})(\p{Hangul}{2,4}?)(?:입니다|이고|이에요|예요|라고"
    r"|[,. \n\"]|$)"
    r"|(?:اسمي|الاسم[: ]{1,2}) ?(\p{Arabic}{2,12}(?: \p{Arabic}{2,12})?)"
    r"|(?:मेरा नाम|नाम[: ]{1,2}) ?([\p{Devanagari}]{2,15}(?: [\p{Devanagari}]{2,15})?) (?:है|हूँ)"
)
_LONGEST = 120  # characters of a name
_SURE = re.compile(
    r"name|hei(?:ß|ss)e|appelle|llamo|nombre|chiam|cham|heet|naam|nazywam|imi|heter|adım|nom\b"
    r"|nome|nazw|"
    r"зовут|имя|фио|apellid|cogn|signed|holder|applicant|recipient|tenant|employee"
)
_LETTER = re.compile(
    r"dear|contact|from|attn|regards|sincerely|grüße|cordial|salu|atencios"
    r"|groet"
)
_AFTER_NAME: Final = words(
    """
    and or is was from with but who i my the a at in on of please here not you have need want to
    for und aus mit ich et de la y e en con and, con, di da van het jest и мне from, calling
    speaking, an required invalid field value type string null none
    """
)


_KNOWN: Final = GIVEN | COUNTRIES | NATIONS | TITLES | _FIRM | {f"{title}." for title in TITLES}
"""A run of capitals without one of these says nothing."""


def find(page: Page) -> Iterator[Span]:
    """People, titles, organisations, places and nationalities in ``page``."""
    yield from _introduced(page)
    if not page.text.isascii():
        for match in page.matches(_EAST):
            if match.lastindex:
                start, end = match.span(match.lastindex)
                yield Span(page.char(start), page.char(end), "PERSON", 0.8)
    if _CAPITAL.search(page.text):
        for run in _RUN.finditer(page.text):
            words = run[0].split(" ")
            if not _KNOWN.isdisjoint(words):
                yield from _named(page, run.start(), words)


def _introduced(page: Page) -> Iterator[Span]:
    """Names after the words that announce one; in lower case too when those words are certain."""
    for match in page.matches(_INTRODUCES):
        first = page.char(match.end())
        written = _WORDS.match(page.text, first, first + _LONGEST)
        if written is None:
            continue
        words = written[0].split(" ")
        lead = match[0].decode("utf-8", "ignore").lower()
        sure = _SURE.search(lead) is not None
        closing = _LETTER.search(lead) is not None
        name: list[str] = []
        while words and words[0].rstrip(".") in TITLES:
            first += len(words.pop(0)) + 1
        for word in words:
            plain = word.strip(".'’-")
            low = plain.lower()
            if not plain or plain in _NO_NAME or (low in _AFTER_NAME and low not in _JOINS):
                break
            capital = plain[0].isupper()
            if (
                not capital
                and not (name and low in _JOINS)
                and not (sure and _in_lower_case(page))
            ):
                break
            name.append(word)
            if word.endswith(".") and len(plain) > 2:
                break
        while name and name[-1].lower() in _JOINS:
            name.pop()
        if not name:
            continue
        text = " ".join(name).rstrip(".'’-")
        known = name[0].strip(".,'’").title() in GIVEN
        if not (sure or (closing and len(name) > 1) or known):
            continue
        if not known and (name[0].strip(".") in COUNTRIES or name[0].strip(".") in NATIONS):
            continue
        if sure and not known and ":" not in lead and "\n" in lead:
            continue
        score = 0.9 if sure and known else 0.75 if sure or known else 0.6
        if not sure and known and len(name) == 1:
            score = 0.65
        yield Span(first, first + len(text), "PERSON", score)


_JOINS: Final = words(
    """
    van von de der den da dos del della di la le bin ibn al el zu y ter ten
    """
)


def _in_lower_case(page: Page) -> bool:
    """Whether the writer uses no capitals, so that their absence says nothing."""
    return not any(map(str.isupper, page.text[:400]))


def _named(page: Page, at: int, words: list[str]) -> Iterator[Span]:
    """What a run of capitalised words that begins at ``at`` is, by its words."""
    places: list[tuple[int, str]] = []
    for word in words:
        places.append((at, word))
        at += len(word) + 1
    i = 0
    while i < len(places):
        at, word = places[i]
        plain = word.rstrip(".")
        if plain in TITLES:
            yield from _titled(page, places, i)
            return
        if plain in GIVEN and word == plain:
            j = i + 1
            while j < len(places) and _may_be_surname(places[j][1]):
                j += 1
            last_at, last = places[j - 1]
            end = last_at + len(last.rstrip("."))
            if j - i > 1:
                yield Span(at, end, "PERSON", 0.65)
            else:
                yield Span(at, end, "PERSON", 0.4)
            i = j
            continue
        if plain in COUNTRIES:
            yield Span(at, at + len(plain), "GPE", 0.6)
        elif plain in NATIONS and i + 1 < len(places) and places[i + 1][1] in _STATES:
            yield Span(at, places[i + 1][0] + len(places[i + 1][1]), "GPE", 0.6)
            i += 1
        elif plain in NATIONS:
            yield Span(at, at + len(plain), "NRP", 0.6)
        elif i and (word in _FIRM or plain in _FIRM) and places[i - 1][1] not in _NO_NAME:
            first = max([k + 1 for k in range(i) if places[k][1] in _NO_NAME], default=0)
            yield Span(places[first][0], at + len(word), "ORGANIZATION", 0.65)
        i += 1


def _titled(page: Page, places: list[tuple[int, str]], i: int) -> Iterator[Span]:
    at, word = places[i]
    end = at + len(word)
    if word[-1] != "." and page.text[end : end + 1] == ".":
        end += 1
    rest = places[i + 1 :]
    if not rest:  # the run stopped at the full stop: "Mr. Smith" is two runs
        after = _RUN.match(page.text, end + 1) if page.text[end : end + 1] == " " else None
        if after is None or after[0].split(" ")[0] in _NO_NAME:
            if word.rstrip(".") in _STRONG_TITLES and page.text[end - 1] == ".":
                yield Span(at, end, "TITLE", 0.5)
            return
        first, name = after.start(), after[0]
    else:
        first = rest[0][0]
        name = " ".join([w for _, w in rest])
    kept: list[str] = []
    for part in name.split(" "):
        if part in _NO_NAME or part in _FIRM:
            break
        kept.append(part)
    if not kept:
        return
    sure = 0.85 if word.rstrip(".") in _STRONG_TITLES else 0.55
    yield Span(at, end, "TITLE", sure)
    yield Span(first, first + len(" ".join(kept).rstrip(".")), "PERSON", sure)


def _may_be_surname(word: str) -> bool:
    return word not in _NO_NAME and word not in _FIRM and word not in COUNTRIES
