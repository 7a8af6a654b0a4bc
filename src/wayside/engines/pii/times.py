"""Dates, times and ages."""

from __future__ import annotations

import re

from wayside.engines.pii.forms import Form

_MONTHS = (
    r"(?:jan(?:uary|uar|\.)?|feb(?:ruary|ruar|\.)?|mar(?:ch|\.)?|märz|apr(?:il|\.)?|may|mai|"
    r"jun[ei]?|jul[yi]?|aug(?:ust|\.)?|sept?(?:ember|\.)?|o[ck]t(?:ober|\.)?|nov(?:ember|\.)?|"
    r"de[cz](?:ember|\.)?|janvier|février|mars|avril|juin|juillet|août|septembre|octobre|"
    r"novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|"
    r"noviembre|diciembre|gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre"
    r"|dicembre|"
    r"janeiro|fevereiro|março|maio|junho|julho|setembro|outubro|novembro|dezembro|januari"
    r"|februari|"
    r"maart|mei|juni|juli|augustus|stycznia|lutego|marca|kwietnia|maja|czerwca|lipca|sierpnia|"
    r"września|października|listopada|grudnia|января|февраля|марта|апреля|мая|июня|июля|августа|"
    r"сентября|октября|ноября|декабря)"
)
_CLOCK = r"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"


def is_day(text: str) -> bool:
    """Two numbers up to 12 and 31 beside a year, in an order some country uses."""
    parts = [int(p) for p in re.findall(r"\d+", text)[:3]]
    if len(str(parts[0])) == 4:
        return 1 <= parts[1] <= 12 and 1 <= parts[2] <= 31
    low, high = sorted(parts[:2])
    return 1 <= low <= 12 and 1 <= high <= 31


def is_age(text: str) -> bool:
    """What people reach."""
    return 0 < int(text) <= 120


_YEARS_OLD = (
    r"years?[ -]olds?|yrs? old|y/?o|jahre alt|jährig\w{0,2}|ans|años|anni|anos|jaar oud|lat|лет"
    r"|год"
    r"|года|歳|才|岁|歲|살|세|yaşında"
)

FORMS = (
    Form("DATE_TIME", r"\b(?:1[5-9]|2[01])\d{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:[0-2]?\d|3[01])"
         rf"(?:[T ,]{{1,2}}{_CLOCK}(?: ?Z|[+-]\d{{2}}:?\d{{2}})?)?\b", 0.85, is_day),
    Form("DATE_TIME", r"\b((?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|[12]\d|3[01])[-/.]"
         rf"(?:(?:1[89]|20)\d{{2}}|\d{{2}})(?:[ ,]{{1,2}}{_CLOCK})?)(?:[^.\w-]|[.-]\W|[.-]?$)",
         0.75, is_day,
         unless=("version", " v", "release")),
    Form("DATE_TIME", rf"(?i)\b(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|\.|er|º)?[ -](?:de |of )?"
         rf"{_MONTHS}(?:[ ,-]{{1,2}}(?:de |del )?(?:1[5-9]|20)\d{{2}})?\b", 0.85),
    Form("DATE_TIME", rf"(?i)\b{_MONTHS} (?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
         r"(?:,? (?:1[5-9]|20)\d{2})?\b", 0.85),
    Form("DATE_TIME", rf"(?i)\b{_MONTHS},? (?:de )?(?:1[5-9]|20)\d{{2}}\b", 0.8),
    Form("DATE_TIME", r"(?:(?:19|20)\d{2} ?年 ?)\d{1,2} ?月(?: ?\d{1,2} ?日)?"
         r"|\d{1,2} ?月 ?\d{1,2} ?日"
         r"|\d{4}년 ?\d{1,2}월 ?\d{1,2}일", 0.9),
    Form("DATE_TIME", r"\b(?:1[89]|20)\d{2}\b", 0.5,
         unless=("$", "€", "£", "port ", "error ", "code ", "#", "zip", "page ", "https://", ":")),
    Form("DATE_TIME", r"(?i)\b(?:1[0-2]|0?[1-9])(?::[0-5]\d)? ?[ap]\.?m\b\.?|\b(?:[01]?\d|2[0-3])"
         r":[0-5]\d(?: ?uhr| ?h)?\b", 0.6),
    Form("AGE", rf"(?i)\b(\d{{1,3}})[ -]?(?:{_YEARS_OLD})\b", 0.85, is_age),
    Form("AGE", r"(\d{1,3}) ?(?:歳|才|岁|歲|살|세)", 0.85, is_age),
    Form("AGE", r"(?i)\b(?:age|aged|alter|âge|edad|età|idade|leeftijd|wiek|возраст)"
         r"(?: of| is| was)?[\"']?[ :=]{1,3}(\d{1,3})\b", 0.85, is_age),
    Form("AGE", r"(?i)\b(?:turned|turning|turn|turns|i'?’?m|i am|he is|she is|he'?’?s|she'?’?s"
         r"|when he"
         r" was|when she was|when i was|bin|is a|this) (\d{1,3})(?: year| yr|[.,;!?)]|\n|$"
         r"| and | now)",
         0.7, lambda text: 3 <= int(text) <= 110),
    Form("AGE", r"(?i)\b(\d{2})[- ]?(?:m|f|year[- ]old|female|male)\b", 0.5, is_age,
         0.7, ("patient", "history", "diagnos")),
)  # fmt: skip

WORDS = (
    Form("DATE_TIME", r"(?i)\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b(?:mon|diens|donners"
         r"|frei|sams|sonn)tag\b|\bmittwoch\b|\b(?:lun|mar|mercre|jeu|vendre|same)di\b"
         r"|\b(?:lunes|martes|miércoles|jueves|viernes|sábado|domingo)\b"
         r"|\b(?:yesterday|tomorrow)\b", 0.6),
)  # fmt: skip
"""Dates without a digit."""
