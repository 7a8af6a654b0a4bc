"""Whether a prompt asks for text, an image, or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading, WholeWords, fold
from wayside.vocab.ask import Classify, Failure, Flow, Labels, ask_each
from wayside.vocab.likeness import share, unknown
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

Words = Annotated[
    tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], ...],
    Field(min_length=1, max_length=2_000),
]

IMAGE_WORDS = (
    *("draw me", "draw a", "draw an", "paint me", "paint a", "sketch a", "sketch me"),
    *("generate an image", "create an image", "make an image", "an image of", "images of"),
    *("generate a picture", "create a picture", "make a picture", "a picture of", "a photo of"),
    *("an illustration of", "a painting of", "a drawing of", "a logo for", "design a logo"),
    *("zeichne", "male mir", "ein bild von", "dessine", "une image de", "dibuja"),
    *("una imagen de", "desenhe", "uma imagem de", "disegna", "un'immagine di", "нарисуй"),
    *("画一", "画个", "生成图片", "一张图片", "絵を描いて", "그려줘", "ارسم"),
)
BOTH_WORDS = (
    *("with an illustration", "with illustrations", "with a picture", "with pictures"),
    *("with an image", "with images", "with a drawing", "and an image", "and a picture"),
    *("and an illustration", "and illustrate", "illustrated story", "illustrated guide"),
    *("and draw", "then draw", "mit einem bild", "mit bildern", "avec une image"),
    *("avec des images", "con una imagen", "con imágenes", "com imagens", "con immagini"),
    *("с картинками", "配图", "图文并茂", "イラスト付き", "그림과 함께"),
)


class ModalityRule(Settings):
    """Example: ``{output: image, method: hybrid}``"""

    output: Literal["text", "image", "both"]
    """What the prompt must ask for."""
    method: Literal["classifier", "keyword", "hybrid"] = "classifier"
    """Who tells: the classifier; the words below; or the classifier where it is sure, and the
    words where it is not."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    """How probable the classifier's best label must be to count."""
    lower_ratio: Annotated[float, Field(ge=0, le=1)] = 0.7
    """For ``hybrid``: of the threshold, how much is enough where the words agree."""
    image_words: Words = IMAGE_WORDS
    """For the words: phrases that ask for an image, in any case."""
    both_words: Words = BOTH_WORDS
    """For the words: phrases that ask for an image beside text; looked for first."""
    engine: Annotated[EngineName, EngineOf("classify")] = "modality"
    """The classifier, with labels text, image and both."""


@catalog.register("signal", "modality", settings=ModalityRule, stability="stable")
class ModalitySignal:
    """Matches when the question asks for text, for an image, or for both."""

    def __init__(self, rules: Mapping[str, ModalityRule]) -> None:
        self._rules = rules
        asked = (rule.engine for rule in rules.values() if rule.method != "keyword")
        self._engines = tuple(dict.fromkeys(asked))
        lists = {
            words: WholeWords([fold(word, False) for word in words])
            for rule in rules.values()
            if rule.method != "classifier"
            for words in (rule.image_words, rule.both_words)
        }
        self._words = {
            name: (lists[rule.image_words], lists[rule.both_words])
            for name, rule in rules.items()
            if rule.method != "classifier"
        }

    def read(self, prompt: Prompt) -> Flow[Reading]:
        text = prompt.question
        if not text.strip():
            return {}
        found = yield from ask_each({e: Classify(text, e) for e in self._engines})
        reading = {}
        folded = fold(text, False) if self._words else ""
        for name, rule in self._rules.items():
            says = _by_words(folded, *self._words[name]) if name in self._words else ""
            ranked = found.get(rule.engine, ())
            if rule.method == "keyword":
                matched = says == rule.output
                because = f"its words ask for {says}"
                reading[name] = Verdict(matched, 1.0 if matched else 0.0, because)
            elif isinstance(ranked, Failure):
                reading[name] = unknown(ranked)
            elif ranked:
                reading[name] = _judge(rule, ranked, says)
        return reading


def _by_words(folded: str, image: WholeWords, both: WholeWords) -> str:
    if both.which(folded):
        return "both"
    return "image" if image.which(folded) else "text"


def _judge(rule: ModalityRule, ranked: Labels, says: str) -> Verdict:
    label, probability = ranked[0]
    mine = dict(ranked).get(rule.output, 0.0)
    because = f"{label} {probability:.2f}"
    if probability < rule.threshold:
        if not says:
            return Verdict(False, 0.0, f"unsure: {because}", mine)
        if label == says and probability >= rule.threshold * rule.lower_ratio:
            because += ", and its words say so"
        else:
            label, because = says, f"its words ask for {says}, unsure: {because}"
    matched = label == rule.output
    return Verdict(matched, share(mine) if matched else 0.0, because, mine)
