"""What sort of difference tells two questions apart, for those who wonder why there was no hit.

Only a name: that they differ was found before, and a word that is in no list here is ``words``.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final, Literal

Kind = Literal[
    "number", "unit", "time", "negation", "polarity", "comparison", "quantifier", "direction",
    "question", "language", "case", "order", "words", "length",
]  # fmt: skip

_LISTS: Final = """
negation:
    not no never without n't neither nor none nobody nothing un illegal unsafe
    unlike except nicht kein keine keinen ohne nie niemals weder pas ne n' jamais
    sans aucun aucune ni sin nunca jamás ningún ninguna não sem nenhum nenhuma non
    senza mai nessuno nessuna niet geen zonder nooit bez żaden nigdy не нет без
    никогда ни değil olmayan yok siz hiç لا ليس لم لن بدون غير नहीं न बिना मत 不 没 沒
    非 无 無 ない ません なし 안 못 없이 아닌 없는 않
polarity:
    enable disable on off start stop open close increase decrease raise lower up
    down best worst buy sell encrypt decrypt install uninstall mute unmute zip unzip
    accept decline prevent treat advantages disadvantages pros cons imports exports
    ascending descending largest smallest cheapest maximum minimum highest lowest
    first last high low freeze thaw gain lose love hate win won lost before after
    for against with agonist antagonist sunrise sunset ein aus an vorteile nachteile
    mit avantages inconvénients activer désactiver avec ventajas desventajas activar
    desactivar con vantagens desvantagens com vantaggi svantaggi voordelen nadelen
    met zalety wady включить выключить преимущества недостатки aç kapat avantajları
    dezavantajları مزايا عيوب فتح إغلاق चालू बंद फायदे नुकसान 开 关 優 缺 优 켜 꺼 장점 단점
comparison:
    faster slower larger smaller bigger cheaper dearer richer poorer older younger
    taller shorter stronger weaker smarter more less fewer over under above below
    least most than better worse mehr weniger größer kleiner plus moins más menos
    mais più meno meer minder więcej mniej больше меньше daha fazla az أكثر أقل अधिक
    कम 更 多 少 더 덜
quantifier:
    all some any every each both only always must may many few one most several alle
    einige jeder nur immer tous toutes chaque seulement toujours todos todas algunos
    sólo solo siempre tutti alcuni sempre alleen altijd wszystkie tylko zawsze все
    некоторые только всегда hepsi sadece كل بعض فقط दوम सभी कुछ केवल 全 都 只 모든 일부 만
unit:
    meter kilometer mile yard inch pound ounce gram liter degree mg
    g kg kilograms pounds ounces grams stone ml l liters gb tb mb kb kilometers
    miles meters feet foot yards inches celsius fahrenheit kelvin dollars euros yen
    francs rupees minutes hours seconds days weeks months years percent % $ € £ ¥
    minuten stunden heures horas ore uren godzin часов минут saat dakika ساعة دقيقة
    घंटे मिनट 小 时 分 時 시간 분 m km cm mm degrees
time:
    today tomorrow yesterday tonight now week month year monday tuesday wednesday
    thursday friday saturday sunday january february march april may june july
    august september october november december next was were is will did last
    current heute morgen gestern nächste diese demain hier aujourd'hui hoy mañana
    ayer hoje amanhã ontem oggi domani ieri vandaag gisteren dziś jutro wczoraj
    сегодня завтра вчера bugün yarın dün اليوم غدا أمس आज कल 今 明 昨 오늘 내일 어제
direction:
    to from into onto between von nach zu aus à vers depuis a desde hacia para de da
    do naar van z из в от إلى من से को तक 到 从 去 来 へ から まで 에서 으로 까지
question:
    what who whom whose which where when why how howto whether meaning was wer wo
    wann warum wie que qui quoi quel où quand pourquoi comment qué quién cuál dónde
    cuándo cómo quem qual onde quando como che chi quale dove perché come wat waar
    wanneer waarom hoe co kto gdzie kiedy dlaczego jak что кто где когда почему как
    ne kim nerede neden nasıl ما من أين متى لماذا كيف क्या कौन कहाँ कब क्यों कैसे 谁
    哪 何 誰 무엇 누구 어디 언제 왜 어떻게
"""
"""By kind, the words of all languages together, for a name is all that they give."""
_ONE_SIDED: Final = frozenset({"negation", "quantifier", "time", "question"})
"""Kinds of which one word more or less makes the difference."""
_SETS: Final[tuple[tuple[Kind, frozenset[str]], ...]] = tuple(
    (kind, frozenset(listed.split()))
    for kind, listed in re.findall(r"^(\w+):\n((?:    .*\n)+)", _LISTS, re.MULTILINE)
)


def kind_of(first: tuple[str, ...], second: tuple[str, ...]) -> Kind:
    """The sort of the first difference that is known, numbers before all others."""
    if not first or not second:
        return "words"
    one, other = Counter(first), Counter(second)
    if one == other:
        return "order"
    apart = (*(one - other), *(other - one))
    if any(token[:1].isdigit() or token[1:2].isdigit() for token in apart):
        return "number"
    if len({token.casefold() for token in apart}) < len(apart):
        return "case"
    sides = [{token.casefold() for token in side} for side in (one - other, other - one)]
    for kind, listed in _SETS:
        found = [not side.isdisjoint(listed) for side in sides]
        if all(found) or (any(found) and kind in _ONE_SIDED):
            return kind
    return "words"
