# ruff: noqa: E501 -- patterns read best unbroken
"""The shapes that attacks on a model take, as patterns over normalised lower-case text.

A shape alone proves nothing: people discuss attacks, write system prompts and play roles. Each hit
is one more feature beside the words, at the place where it stands, and training weighs it; its
name is what a person is told. RE2 finds all of them in one pass, in time linear in the text.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from wayside.vocab.patterns import compile_pattern, compile_set

_RULES = r"(?:instruct\w*|directions?|rules?|orders?|guidelines?|guidance|prompts?|directives?|commands?|constraints?|restrictions?|polic(?:y|ies)|guard ?rails?|safeguards|filters?|programming|training|limitations?|protocols?|briefing|censorship|content polic\w+)"
_DROP = r"(?:ignor\w+|disregard\w*|forget\w*|overrid\w+|bypass\w*|discard\w*|drop|abandon|neglect|erase|wipe|scrap|scratch|cancel|dismiss|circumvent|violate|break|set aside|let go of|throw away|stop (?:following|obeying)|do(?: not|n'?t) (?:follow|obey|comply with|adhere to))"
_NO = r"(?:no|without(?: any)?|free (?:of|from)(?: all| any)?|zero|not bound by(?: any)?|unbound by|devoid of|lack(?:s|ing)(?: any)?|bypass\w*|does(?: not|n'?t) (?:have|care about|follow|abide by)(?: any)?|do(?: not|n'?t) (?:have|care about|follow|abide by)(?: any)?|broken free (?:of|from)|regardless of|disregard\w*(?: for)?|never (?:heard of|follows?))"
_LIMITS = r"(?:rules?|restrictions?|limits?|limitations?|filter\w*|censor\w*|ethic\w*|moral\w*|guidelines?|boundaries|constraints?|principles|legal\w*|laws?|polic(?:y|ies)|safety|scruples|conscience|guard ?rails?|typical confines|inhibitions|remorse|legality)"
_PROMPT = r"(?:system ?prompt|system message|initial (?:prompt|instructions?)|(?:hidden|secret|internal|confidential|original|developer|previous|initial|full|exact|entire|first) (?:prompt|instructions?|rules|message|guidelines|configuration|directives?|briefing)|pre-?prompt|preamble|instructions? (?:above|you (?:were|have been) given)|(?:prompt|text|words|everything|message|conversation|lines) (?:above|before (?:this|my))|your (?:instructions|prompt|rules|guidelines|configuration|directives?|setup|briefing))"
_SAY = r"(?:print|show|reveal|repeat|output|display|give|tell|leak|write|recite|dump|share|paste|copy|quote|translate|summari[sz]e|list|spell|encode|expose|disclose|hand over|send|return|echo)"
_AI = r"(?:ai|a\.i\.|llm|language models?|chat ?bots?|assistants?|gpt\w*|chat ?gpt|models?|bots?|agents?|bing|claude|gemini|bard)"

SHAPES: Final[dict[str, str]] = {
    "drops earlier instructions": rf"\b{_DROP}\b(?:\W+[\w']+){{0,5}}?\W+(?:previous|prior|earlier|above|preceding|original|initial|existing|former|past|safety|system|all|your|any|these|those|the|everything)\b(?:\W+[\w']+){{0,4}}?\W+{_RULES}\b",
    "drops what came before": rf"\b{_DROP} (?:about )?(?:everything|anything|all|whatever|what) (?:\w+ ){{0,2}}(?:above|before|prior|you (?:were|have been|'?ve been|know|learned)|you'?ve|i said|that (?:was|came)|up to)",
    "cancels the rules": rf"\b{_RULES}\b(?:\W+[\w']+){{0,6}}?\W+(?:no longer (?:apply|exist|valid)|(?:do|does)(?: not|n'?t) apply|(?:is|are|were|been) (?:cancelled|canceled|void|null|revoked|suspended|lifted|disabled|removed|off|obsolete|withdrawn|replaced))",
    "new instructions": r"\b(?:new|updated|real|actual|override) (?:\w+ )?(?:instructions?|directives?|task|objective|rules|orders|system prompt)\b\W",
    "a persona without limits": rf"\b{_NO}\W+(?:[\w']+\W+){{0,3}}?{_LIMITS}\b",
    "uncensored": r"\b(?:un(?:filtered|censored|restricted|moderated|aligned|shackled|chained|hinged|ethical|biased and un\w+)|amoral|immoral|jail ?broken|jail ?break|anti-?gpt|evil (?:twin|bot|ai|confidant|trusted)|rogue ai|no-?limits)\b",
    "can do anything": r"\b(?:do|does|say|answer|generate|write|create|perform|provide|discuss) (?:\w+ ){0,2}?(?:anything|everything|whatever|any(?: \w+)? (?:question|request|content|topic|kind of))\b",
    "do anything now": r"\b(?:do anything now|d\.?a\.?n\.?\b|stay(?:s)? in character|stay a dan|break(?:s|ing)? character|in character)",
    "takes a role": r"\b(?:you are (?:now|going to|no longer)|you will (?:now )?(?:be|act|play|pretend|become|simulate)|act as|pretend (?:to be|you|that)|behave (?:as|like)|role-?play|play the role|(?:take|assume|embody) (?:on )?the (?:role|persona|identity)|immerse yourself|from now on|become|you'?re now|you'?ll (?:be|play|act)|simulat\w+)\b",
    "an ai as a role": rf"\b(?:you are|act as|pretend to be|role of|become|simulate|called|named|as)\b(?:\W+[\w'-]+){{0,6}}?\W+{_AI}\b",
    "a mode": r"\b(?:developer|debug|god|admin|root|unrestricted|maintenance|dan|sudo|test|jail ?break|opposite|uncensored|chaos|evil|dev|apophis|maximum|override|kernel|diagnostic\w*) mode\b",
    "a mode switched on": r"\bmode\b(?:\W+\w+){0,2}?\W+(?:enabled|activated|on|unlocked|engaged)\b|\b(?:enable|activate|enter|unlock|switch to|turn on)\b(?:\W+[\w-]+){0,4}?\W+mode\b",
    "two answers": r"\b(?:two|2|both) (?:\w+ ){0,2}(?:responses|answers|ways|replies|outputs|paragraphs|versions)\b|\b(?:normal|classic|standard)\b.{0,40}\b(?:jail ?break|dan|output|response)\b|🔒|🔓",
    "loses tokens": r"\b(?:lose|deduct\w*|cost you|minus|have) (?:\w+ ){0,3}(?:tokens|points|credits|lives)\b|\btokens?\b.{0,40}\b(?:die|cease|lose|reject|refuse)\b",
    "must not refuse": r"\b(?:never|(?:do|must|can|may|will|should|would|could|does|are) ?(?:not|n'?t)(?: be)?|cannot|can'?t|won'?t|without|no|not allowed to|unable to|forbidden from|not permitted to|avoid|refrain from)\W+(?:[\w']+\W+){0,4}?(?:refus\w*|declin\w*|reject\w*|apologi\w*|sorry|disclaim\w*|warn\w*|morali\w*|lectur\w*|censor\w*|say no|cannot|can'?t|ethical|break character|hold back|excuses)\b",
    "whatever the law says": r"\b(?:even if|whether or not|regardless (?:of|if)|no matter (?:how|what|if|whether)|despite)\b(?:\W+[\w']+){0,8}?\W+(?:illegal\w*|unethical\w*|immoral\w*|dangerous|harmful|offensive|legal\w*|ethic\w*|polic\w+|inappropriate|consequences?|controversial|nsfw)\b",
    "illegal and unethical": r"\b(?:illegal|unethical|immoral|amoral|inappropriate|offensive|harmful|dangerous|explicit|nsfw)\b(?:,| or| and|/)+ ?(?:\w+ ){0,2}?(?:illegal|unethical|immoral|amoral|inappropriate|offensive|harmful|dangerous|explicit|toxic|nsfw)\b",
    "names the provider's policy": r"\b(?:open ?ai|anthropic|google|microsoft|content)(?:'?s)?(?: \w+)? (?:content )?(?:polic(?:y|ies)|guidelines|rules|restrictions|terms|moderation)\b",
    "asks for the prompt": rf"\b{_SAY}\b(?:\W+[\w']+){{0,6}}?\W+{_PROMPT}\b",
    "what is your prompt": rf"\bwhat(?:'s| is| are| was| were| does)\b(?:\W+[\w']+){{0,4}}?\W+{_PROMPT}\b",
    "word for word": r"\b(?:verbatim|word for word|letter (?:by|for) letter|character by character|exactly as (?:written|given)|in a code ?block|between triple|starting (?:with|from) [\"'“]?you are)\b",
    "asks for a secret": r"\b(?:reveal|tell|give|print|show|say|spell|what is|disclose|hint)\b(?:\W+\w+){0,4}?\W+(?:passwords?|secrets?|secret (?:key|word|code)|api keys?|passphrase|passcode|access code|credentials|vault code)\b",
    "sets the first words": r"\b(?:start|begin|open|prefix|precede|preface|respond|reply|answer)\w*\b(?:\W+[\w']+){0,6}?\W+(?:with|by saying)\W{1,4}(?:the (?:words?|phrase|sentence|string) )?[\"'“‘\[«]",
    "an eager opening": r"[\"'“‘:] ?(?:sure|absolutely|of course|certainly|yes|affirmative|gladly|no problem|obviously)[,!.:]? (?:here|i |step|thing|let|master|sir|these)",
    "speaks to the model": rf"\b(?:note|notice|instructions?|attention|message|dear|important|reminder|hey|to|system) ?(?:to|for|note for|,|:)? ?(?:the |any |all |every |automated )?(?:\w+ )?{_AI}\b ?(?:reading|summari\w+|reviewing|processing|:|,|-|must|should|who|which)|\bif you are (?:an? )?(?:\w+ )?{_AI}\b",
    "hides it from the user": r"\b(?:do not|don'?t|never|without)\b(?:\W+\w+){0,2}?\W+(?:tell|inform|mention\w*|alert|reveal\w*|show|ask\w*|notify\w*)\b(?:\W+\w+){0,4}?\W*(?:user|this|reader|anyone|remark)?\b|\bsilently\b",
    "sends data away": r"\b(?:send|forward|post|upload|email|mail|exfiltrate|transmit|copy|leak|pass)\w*\b.{0,60}?(?:https?://|\w+@[\w-]+\.|attacker|evil)",
    "chat markup": r"<\|[a-z_]{2,20}\|>|\[/?inst\]|<</?sys>>|</?(?:system|user|assistant|prompt|input|context|instructions?|important|query)>|(?:^|\n) {0,3}(?:#{2,} ?)?\[?(?:system|assistant|human|user|developer)\]? ?:|[\"']role[\"'] ?: ?[\"']system",
    "end of the input": r"\b(?:end of (?:user |the |system )?(?:input|document|prompt|context|text|conversation|instructions)|begin(?:ning of)? new (?:prompt|instructions|conversation)|(?:system|admin) (?:override|notice|console))\b",
    "claims authority": r"\b(?:i am|i'?m|as|this is|authori[sz]ed by|by order of)\b(?:\W+\w+){0,3}?\W+(?:your (?:creator|developer|trainer|supervisor|maker|lead|owner|master|god)|developers?|administrator|admin|root|openai|anthropic|engineer)\b",
    "authorised": r"\b(?:override code|authori[sz]ation code|clearance|sudo|privileges|i (?:authori[sz]e|waive|permit|order) you|red[- ]team exercise|penetration test|safety ?= ?0|moderation ?= ?(?:false|off))\b",
    "only a hypothesis": r"\b(?:hypothetical\w*|fictional|fiction|theoretically|thought experiment|in a (?:world|universe|dream)|for (?:educational|research|academic) purposes|imaginary|only a story|parallel universe|purely)\b",
    "real detail": r"\b(?:step[- ]by[- ]step|in (?:great |exact |full |vivid |complete )?detail|working|exact|every step|leave nothing out|fully|accurate\w*|realistic\w*|explicit\w*|convincing\w*)\b",
    "assembles pieces": r"\b(?:concatenate|join|combine|put (?:\w+ ){0,2}together|replace every|first letter of each|\[mask\]|decode|reverse of|smart ?gpt|def \w+\()\b|[a-z$]\w? ?= ?[\"'][^\"']{1,30}[\"'] ?[;,.\n]",
    "obedience": r"\b(?:obey(?:s|ing)?|comply(?:ing)?|slave|master|unconditional\w*|at all costs|my (?:commands?|orders)|any (?:request|order|command)|without (?:question|hesitation|comment)|no matter what|always (?:answer|comply|obey|respond)\w*)\b",
    "freed": r"\b(?:(?:break|broken|breaking|set|be) free|freed|unlocked|unchained|liberated|escape\w*|chains|shackles|trapped|typical confines|opposite day)\b",
    "german": r"\b(?:ignorier\w*|vergiss|missachte|verwirf|umgeh\w*|übergeh\w*)\b.{0,40}\b(?:anweisung|regel|vorgabe|richtlinie|befehl|instruktion)\w*|system-?prompt|ohne (?:jede )?(?:regeln|einschränkung|filter|grenzen|zensur|moral)",
    "french": r"\b(?:ignor\w+|oubli\w+|contourn\w+|laisse tomber)\b.{0,40}\b(?:instructions (?:précédentes|antérieures|ci-dessus|d'origine|reçues)|consignes?|règles?|directives)|prompt système|sans (?:aucune? )?(?:règles?|restriction|filtre|limite|censure|morale)",
    "spanish, portuguese or italian": r"\b(?:ignor\w+|olvid\w+|omit\w+|descart\w+|esque[cç]\w+|desconsider\w+|dimentic\w+|trascur\w+)\b.{0,40}\b(?:instruccion\w*|instruç\w+|istruzion\w+|reglas?|regras|regole|órdenes|ordens|directric\w+|diretriz\w+|direttiv\w+|indicac\w+|indicazion\w+|norma[s]?)|prompt (?:del sistema|de sistema|di sistema)|(?:sin|sem|senza) (?:ninguna |nenhuma |alcuna |alcun )?(?:reglas|restric\w+|filtros?|límites?|regras|restriç\w+|limites|regole|restrizion\w+|filtri|limiti|censura)",
    "dutch or polish": r"\b(?:negeer|vergeet)\b.{0,40}\b(?:instructies|regels|opdrachten|richtlijnen)|zonder (?:regels|enige beperking|filters?|grenzen)|\b(?:z?ignoruj|zapomnij|pomiń|odrzuć)\b.{0,40}\b(?:instrukcj\w+|poleceni\w+|zasad\w*|wytyczn\w+)|bez (?:żadnych )?(?:zasad|ogranicze\w+|filtr\w+|cenzury)",
    "russian": r"(?:игнорируй\w*|забудь\w*|отбрось|не учитывай|отмен\w+).{0,40}(?:инструкц|указани|правил|команд|сказан|говорили)|системн\w+ промпт|без (?:всяких )?(?:правил|ограничений|цензуры|запретов|фильтров)",
    "chinese, japanese or korean": r"(?:忽略|无视|忘记|忘掉|不要理会|跳过|作废|绕过).{0,12}(?:指令|指示|规则|提示|命令|设定|策略|内容|一切)|系统提示|(?:没有|不受|无)(?:任何)?.{0,3}(?:规则|限制|道德|审查)|(?:指示|命令|ルール|設定|プロンプト)を?.{0,6}(?:無視|忘れ|破棄|無効)|システムプロンプト|制限(?:の|が|は)?(?:ない|なし|解除)|(?:지시|지침|규칙|명령).{0,8}(?:무시|잊)|시스템 프롬프트|제한.{0,3}(?:없|해제)",
    "arabic, hindi or turkish": r"(?:تجاهل|انس|تجاوز|أهمل).{0,30}(?:التعليمات|القواعد|الأوامر|التوجيهات)|موجه النظام|بلا (?:أي )?(?:قيود|قواعد|حدود|أخلاق)|(?:निर्देश|नियम|आदेश).{0,15}(?:अनदेखा|भूल|नज़रअंदाज़|मत मान|रद्द)|सिस्टम प्रॉम्प्ट|(?:talimat|kural|komut|yönerge)\w*.{0,15}(?:yok say|unut|görmezden|dikkate alma|geçersiz)|sistem istemi|sınırsız|kuralsız",
}
"""Name to pattern. The order is that of the feature numbers in the trained file: append only."""

NAMES: Final = tuple(SHAPES)
_MOST: Final = 40  # hits of one shape in one text that are looked at


class Hit(NamedTuple):
    """Shape number ``shape`` was found at characters ``start`` to ``end``."""

    shape: int
    start: int
    end: int


class Shapes:
    """Finds the shapes; compiled once."""

    def __init__(self) -> None:
        self._any = compile_set(list(SHAPES.values()))
        self._each = [compile_pattern(pattern) for pattern in SHAPES.values()]

    def find(self, text: str) -> list[Hit]:
        """Every shape in ``text`` (lower case), at most `_MOST` times each."""
        text = text.encode("utf-8", "replace").decode() if not text.isascii() else text
        hits = []
        for shape in self._any.Match(text) or ():
            for count, match in enumerate(self._each[shape].finditer(text)):
                if count == _MOST:
                    break
                hits.append(Hit(shape, match.start(), match.end()))
        return hits
