"""vSR's selection algorithms as ours: what ``decision.algorithm.<type>`` says.

A translator is handed the settings under the algorithm's own name and returns those of the
selector of that name, or says why there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wayside.translate.learned import Models
from wayside.translate.reading import Reader

Rule = dict[str, Any]


def router_dc(rule: Reader, models: Models) -> Rule | str:
    out: Rule = {}
    least = rule.number("min_similarity", low=-1, high=1)
    if least is not None:
        out["min_similarity"] = models.cosine(least)
        if not models.own_embedder:
            why = f"{least} is for vSR's embedder; {out['min_similarity']} for the built-in one"
            rule.note(why, "mapped", key="min_similarity")
    if rule.flag("require_descriptions"):
        out["require_descriptions"] = True
    if rule.flag("use_capabilities") is False:
        out["use_capabilities"] = False
    same = "the most similar model is taken, which is the same one at any temperature"
    rule.set_aside("temperature", same, "ignored")
    rule.set_aside("dimension_size", "a vector has the length its engine gives it", "ignored")
    for key in ("use_query_contrastive", "use_model_contrastive"):
        rule.set_aside(key, "nothing is learnt while requests are served: train knn or mlp")
    return out


def _trained(name: str) -> Callable[[Reader, Models], Rule | str]:
    def translate(rule: Reader, models: Models) -> Rule | str:
        rule.note(
            f"needs models/model-selection/{name}.selector: make it with "
            f"`wayside train selection --algorithm {name} ROWS.jsonl`; vSR's own trained files "
            "are not read",
            "mapped",
        )
        return {}

    return translate


TRANSLATORS: Mapping[str, Callable[[Reader, Models], Rule | str]] = {
    "kmeans": _trained("kmeans"),
    "knn": _trained("knn"),
    "mlp": _trained("mlp"),
    "router_dc": router_dc,
    "svm": _trained("svm"),
}
"""Algorithm ``type`` -> how its settings become ours, or why they cannot."""
