"""Models that answer the core's asks. The only code that runs inference."""

from __future__ import annotations

from typing import Any

from wayside.engines.language import LanguageDetector
from wayside.engines.static import StaticClassifier
from wayside.vocab.ask import Ask, Classify, Labels, Language
from wayside.vocab.errors import AskFailed


class BuiltIn:
    """The models in the wheel: no download, loaded once in milliseconds, nothing shared mutable.

    They cost microseconds, so they answer at once on the caller's thread.
    """

    def __init__(self) -> None:
        self.domain = StaticClassifier.built_in()
        self.languages = LanguageDetector()
        self._heads = {"domain": self.domain}

    def answerers(self) -> dict[type[Ask[Any]], Any]:
        return {Classify: self.classify, Language: self.language}

    def classify(self, question: Classify) -> Labels:
        head = self._heads.get(question.head)
        if head is None:
            known = ", ".join(self._heads)
            raise AskFailed(f"no classifier {question.head!r}; there are: {known}")
        return head.classify(question.text)

    def language(self, question: Language) -> Labels:
        return self.languages.detect(question.text)
