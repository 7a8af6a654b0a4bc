"""Names that old configurations give to domains, and the fourteen that the classifier knows.

Early vSR documents list MMLU's 57 subjects under ``mmlu_categories``. Their subcategories are
those of https://github.com/hendrycks/test ``categories.py``; the three that MMLU-Pro does not
have (geography, politics, culture) go to ``other``, where its remaining questions are.
"""

from __future__ import annotations

DOMAINS = (
    "biology",
    "business",
    "chemistry",
    "computer science",
    "economics",
    "engineering",
    "health",
    "history",
    "law",
    "math",
    "other",
    "philosophy",
    "physics",
    "psychology",
)
"""MMLU-Pro's categories (arXiv 2406.01574)."""

_SUBJECTS = {
    "biology": "college_biology high_school_biology",
    "business": "business_ethics management marketing",
    "chemistry": "college_chemistry high_school_chemistry",
    "computer science": "college_computer_science computer_security high_school_computer_science "
    "machine_learning",
    "economics": "econometrics high_school_macroeconomics high_school_microeconomics",
    "engineering": "electrical_engineering",
    "health": "anatomy clinical_knowledge college_medicine human_aging medical_genetics nutrition "
    "professional_medicine virology",
    "history": "high_school_european_history high_school_us_history high_school_world_history "
    "prehistory",
    "law": "international_law jurisprudence professional_law",
    "math": "abstract_algebra college_mathematics elementary_mathematics high_school_mathematics "
    "high_school_statistics",
    "philosophy": "formal_logic logical_fallacies moral_disputes moral_scenarios philosophy "
    "world_religions",
    "physics": "astronomy college_physics conceptual_physics high_school_physics",
    "psychology": "high_school_psychology professional_psychology",
    "other": "global_facts high_school_geography high_school_government_and_politics "
    "human_sexuality miscellaneous professional_accounting public_relations security_studies "
    "sociology us_foreign_policy geography politics culture",
}
_BY_SUBJECT = {s: domain for domain, subjects in _SUBJECTS.items() for s in subjects.split()}
_ALIASES = {
    "mathematics": "math",
    "maths": "math",
    "computer_science": "computer science",
    "computer-science": "computer science",
    "cs": "computer science",
    "medicine": "health",
}


def domain_of(name: str) -> str | None:
    """The domain that ``name`` means: one of the fourteen, an MMLU subject, or a usual spelling.

    Case does not matter. ``None`` when no domain is meant.
    """
    plain = name.strip().lower()
    if plain in DOMAINS:
        return plain
    return _BY_SUBJECT.get(plain.replace(" ", "_")) or _ALIASES.get(plain)
