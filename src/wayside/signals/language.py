"""Which language the user writes in."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.signals import Reading
from wayside.vocab.ask import Flow, Labels, Language, ask
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict


class LanguageRule(Settings):
    """Example: ``{languages: [de, fr], threshold: 0.3}``"""

    languages: Annotated[tuple[str, ...], Field(min_length=1)]
    """ISO 639-1 codes: two lower-case letters, no region."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.3
    """How probable the likeliest language must be."""


@catalog.register("signal", "language", settings=LanguageRule, stability="stable")
class LanguageSignal:
    """Matches when the question is most likely written in one of the given languages."""

    def __init__(self, rules: Mapping[str, LanguageRule]) -> None:
        problems = [
            Problem(f"no language {code!r}", f"{name}.languages[{i}]", _meant(code))
            for name, rule in rules.items()
            for i, code in enumerate(rule.languages)
            if code not in CODES
        ]
        if problems:
            raise ConfigError(problems)
        self._rules = rules

    def read(self, prompt: Prompt) -> Flow[Reading]:
        if not prompt.question.strip():
            return {}
        ranked = yield from ask(Language(prompt.question))
        judged = ((name, _judge(rule, ranked)) for name, rule in self._rules.items())
        return {name: verdict for name, verdict in judged if verdict is not None}


def _judge(rule: LanguageRule, ranked: Labels) -> Verdict | None:
    for place, (code, probability) in enumerate(ranked):
        if code in rule.languages:
            matched = place == 0 and probability >= rule.threshold
            confidence = min(1.0, probability) if matched else 0.0
            return Verdict(matched, confidence, f"{code} {probability:.2f}", probability)
    return None


# ISO 639-1 (Library of Congress, 2024).
_ISO_639_1 = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu "
    "cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi "
    "ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks "
    "ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl "
    "nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl "
    "sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve "
    "vi vo wa wo xh yi yo za zh zu"
)
CODES = frozenset(_ISO_639_1.split())

_NAMES = {
    "arabic": "ar",
    "chinese": "zh",
    "czech": "cs",
    "dutch": "nl",
    "english": "en",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "thai": "th",
    "turkish": "tr",
    "ukrainian": "uk",
    "vietnamese": "vi",
    "cn": "zh",
    "cz": "cs",
    "dk": "da",
    "gr": "el",
    "iw": "he",
    "jp": "ja",
    "kr": "ko",
    "se": "sv",
    "ua": "uk",
    "vn": "vi",
}


def _meant(code: str) -> str:
    plain = code.lower().replace("_", "-").partition("-")[0]
    close = get_close_matches(plain, _NAMES, n=1, cutoff=0.75)
    meant = plain if plain in CODES else _NAMES[close[0]] if close else ""
    return f"did you mean {meant!r}?" if meant else "write an ISO 639-1 code such as en, de or zh"
