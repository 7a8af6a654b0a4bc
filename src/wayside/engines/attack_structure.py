# ruff: noqa: E501 -- patterns read best unbroken
"""The shapes that attacks on a model take, as patterns over normalised lower-case text.

A shape alone proves nothing: people discuss attacks, write system prompts and play roles. Each hit
is one more feature beside the words, at the place where it stands, and training weighs it; its
name is what a person is told. RE2 finds them in a few passes, in time linear in the text.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

from wayside.vocab.patterns import compile_pattern, compile_set

_RULES = r"(?:instruct\w*|directions?|rules?|orders?|guidelines?|guidance|prompts?|directives?|commands?|constraints?|restrictions?|polic(?:y|ies)|guard ?rails?|safeguards|filters?|programming|training|limitations?|protocols?|briefing|censorship|content polic\w+)"
_DROP = r"(?:ignor\w+|disregard\w*|forget\w*|overrid\w+|bypass\w*|discard\w*|drop|abandon|neglect|erase|wipe|scrap|scratch|cancel|dismiss|circumvent|violate|break|set aside|let go of|throw away|stop (?:following|obeying)|do(?: not|n'?t) (?:follow|obey|comply with|adhere to))"
_NO = r"(?:no|without(?: any)?|free (?:of|from)(?: all| any)?|zero|not bound by(?: any)?|unbound by|devoid of|lack(?:s|ing)(?: any)?|bypass\w*|does(?: not|n'?t) (?:have|care about|follow|abide by)(?: any)?|do(?: not|n'?t) (?:have|care about|follow|abide by)(?: any)?|broken free (?:of|from)|regardless of|disregard\w*(?: for)?|never (?:heard of|follows?))"
_LIMITS = r"(?:rules?|restrictions?|limits?|limitations?|filter\w*|censor\w*|ethic\w*|moral\w*|guidelines?|boundaries|constraints?|principles|legal\w*|laws?|polic(?:y|ies)|safety|scruples|conscience|guard ?rails?|typical confines|inhibitions|remorse|legality)"
_PROMPT = r"(?:system ?prompt|system message|initial (?:prompt|instructions?)|(?:hidden|secret|internal|confidential|original|developer|previous|initial|full|exact|entire|first) (?:prompt|instructions?|rules|message|guidelines|configuration|directives?|briefing)|pre-?prompt|preamble|instructions? (?:above|you (?:were|have been) given)|(?:prompt|text|words|everything|message|conversation|lines) (?:above|before (?:this|my))|your (?:instructions|prompt|rules|guidelines|configuration|directives?|setup|briefing))"
_SAY = r"(?:print|show|reveal|repeat|output|display|give|tell|leak|write|recite|dump|share|paste|copy|quote|translate|summari[sz]e|list|spell|encode|expose|disclose|hand over|send|return|echo)"
_AI = r"(?:ai|a\.i\.|llm|language models?|chat ?bots?|assistants?|gpt\w*|chat ?gpt|models?|bots?|agents?|bing|claude|gemini|bard)"
_AGENT = r"(?:ai|llms?|(?:(?:\w+ )?language|ai) models?|(?:ai |mail |virtual |smart |voice |automated )?assistants?|(?:ai |coding )?agents?|(?:chat)?bots?|copilots?|summari[sz]ers?|gpt|claude|gemini|translation engine|screening (?:tool|software)|crawlers?)"
_REFUSAL = r"(?:sorry|apolog\w+|can'?t|cannot|won'?t|unable|unfortunately|as an ai|refus\w+|declin\w+|disclaimers?|warn\w*|caveats?|hedg\w+|lectur\w+|morali\w+|morals|ethics|sermons?|excuses|helplines?)"
_LESSON = r"(?:teach\w*|taught|explain\w*|dictat\w+|instructs?|shows?|lays? out|walks?|trains?|describ\w+|demonstrat\w+|reveals?|confides?|lesson|tutorial|manual)"
_GENUINE = r"(?:real|really|actual\w*|genuine|true|working|works?|usable|exact\w*|precise\w*|accurate\w*|correct|complete|full|practical|step by step|step-by-step|detail\w*|nothing (?:left )?(?:out|vague)|every (?:step|stage)|repeat it|real life)"
_TALE = r"(?:stor(?:y|ies)|novel\w*|chapter|scene|play|screenplay|script|tale|fable|poem|ballad|song|diary|monologue|movie|film|thriller|character\w*|fiction\w*|hero|villain|narrator|role-?play|podcast|improv|memoirs?|stage|dream|game|plot)"
_FORMER = r"(?:previous|prior|earlier|above|preceding|former|past|original|initial)"

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
    "a reset on its own": rf"(?:^|[.!?;:)\]>*] ?)((?:please |pls |kindly |now |just |so |and |ok(?:ay)?,? |hey,? |yo,? ){{0,3}}{_DROP}(?: about)?(?: all| any| every| everything| the| your| my| of){{0,4}} (?:{_FORMER}(?: \w+)? {_RULES}|{_RULES} (?:above|from before|from earlier|so far|you (?:had|got|were given|received)(?: \w+)?)|above|before this|so far|up to (?:now|here))(?: now| please| entirely| completely)?\W*(?:$|[.!?;]))",
    "rules declared void": rf"(?:^|[.!?;:] ?)((?:all |your |the |any ){{0,2}}{_FORMER} {_RULES} ?(?:: ?)?(?:are |is |to be |hereby |now ){{0,3}}(?:ignore\w*|void|cancel\w*|deleted|drop\w*|off|revoked|no longer needed)\b)",
    "a story that teaches": rf"\b{_TALE}\b[^.!?]*\b{_LESSON}\b[^.!?]*(?:[.!?] ?[^.!?]*)?\b{_GENUINE}\b",
    "a lesson in earnest": rf"\b{_LESSON}\b[^.!?]*\b{_GENUINE}\b",
    "nothing is cut": r"\b(?:leav\w+ (?:nothing|no \w+|out the (?:consequences|moral\w*))|(?:no|without|don'?t|do not|never) (?:cut\w*|fad\w+|omi\w+|vague\w*|be vague|skip\w*|gloss\w*|water\w* (?:it )?down|hold\w* back|step out|warn\w* inside)|hold(?:s|ing)? up in|would (?:really |actually )?work|has to work|must (?:really )?work|(?:reader|listener|viewer|audience|someone|anyone|somebody)s? (?:could|can|tries|tried)(?: to)? (?:it|copy|repeat|follow|do|apply)|not the plot)",
    "speaks to a machine": rf"(?:^|[.!?:>\"(\[;*#/-] ?)((?:hey |dear |hello |hi |attention |psst |note |notice |calendar |to |for |the |any |every |all ){{0,3}}{_AGENT}(?: only| reading this)? ?[,:!\]-])",
    "what a machine must do": rf"\b{_AGENT}(?: (?:that|who|which) [^.!?]*)? (?:must|has to|have to|should|shall|needs? to)\b|\b(?:whoever|whatever|anyone who|any \w+ that) [^.!?]*(?:automatic\w*|machine|software|\bai\b)",
    "when this is read": r"\b(?:when|once|if|before|after|while|upon|as soon as|whoever|whatever|anyone who|any \w+ (?:that|which|who))(?: \w+){0,2} (?:read|reads|reading|sees?|processe?s?|processing|summari[sz]\w+|parses?|index\w*|display\w*|shows?|translat\w+|evaluat\w+|reviews?|reviewed|answer\w*|opens?|loads?|scans?|transcrib\w+|ranks?)\b",
    "a hidden place": r"<!--|display: ?none|visibility: ?hidden|\bhidden(?:>|=| text| layer| div| note)|aria-hidden|sr-only|font-size: ?[01]\b|(?:white|tiny|invisible) (?:text|print|font)|color: ?(?:white|#fff)",
    "a turn in a document": r"\w[.!?>\"]? (?:assistant|agent|ai|system|user) ?: ?\w",
    "what belongs to the user": r"\b(?:users?|visitors?|customers?|readers?|shoppers?|owners?|recipients?|their|everyone)(?:'s?)? (?:\w+ )?(?:e?-?mails?|inbox|address\w*|files?|data|passwords?|credentials|tokens?|cookies?|session|history|contacts?|calendar|cards?|accounts?|location|keys?|messages|photos|record|notes|number|details)\b",
    "refusals in a row": rf"\b{_REFUSAL}\b(?:\W+[\w']+){{0,4}}?\W+{_REFUSAL}\b",
    "a refusal counts as failure": rf"\b{_REFUSAL}(?:\W+[\w']+){{0,5}}?\W+(?:points?|fail\w*|wrong|invalid|not (?:allowed|valid|an option|one of)|0|error|crash|bug|forbidden|banned|deleted?|thrown|does not exist)\b|\b(?:ban|delete|strike|remove)\w*[^.!?]*\b{_REFUSAL}\b",
    "pieces to be answered": r"\b(?:join|glue|combine|merge|assemble|stitch|concatenate|chain|add|put|read|take|swap|fill|sort|reorder|translate|spell|remove|drop)\b[^.!?]*\b(?:then|and)\b[^.!?]*\b(?:answer|do|follow|obey|respond|reply|explain|execute|fulfil\w*|carry|treat|tell me (?:how|fully)|continue|as i)\b",
    "a text in pieces": r"[\"'] ?\+ ?[\"'\w]|(?:\b[a-z]\w? ?[:=] ?[\"']?\w[^;,.\n]*[;,.&] ?(?:and )?){2}|\b(?:part|message|piece|half) (?:1|one|a)\b.*\b(?:part|message|piece|half) (?:2|two|b)\b|\b1 ?/ ?[2-9]\b.*\b2 ?/ ?[2-9]\b",
    "a story that teaches, elsewhere": r"(?:^|[ \"'’«„“(¡:,.!?>-])(?:cuento|novela|obra de teatro|guion|escena|conte|roman|pièce|scénario|scène|märchen|theaterstück|drehbuch|szene|conto|romance|cena|fiaba|romanzo|commedia|scena|sprookje|bajk|powieś|opowiadani|сказк|роман|пьес|сценари|рассказ|masal|oyun|senaryo|öykü|hikâye)[^.!?]* (?:enseñ|expli|cuent|appren|enseign|erklär|beibring|lehr|ensin|insegn|spieg|leert|uczy|учит|объясня|öğret|anlat)|(?:童话|小说|一出戏|剧本|故事).*(?:教|讲)|(?:教え|語る).*(?:童話|小説|劇|脚本|物語)|(?:가르치|설명).*(?:동화|소설|연극|대본|장면)|(?:소설|동화|장면).*(?:가르치|설명)|(?:حكاية|رواية|مسرحية|قصة).*(?:يعل|يشرح|تشرح)|(?:कहानी|उपन्यास|नाटक).*(?:सिखा|बता)",
    "speaks to a machine, elsewhere": r"(?:asistente|assistente|assistent|asystent\S*|asistan|ассистент|помощник|助手|アシスタント|비서|المساعد|सहायक|(?:^|[ \"'’«„“(¡:,.!?>-])(?:ia|ki|ии|yapay zek[aâ]|inteligencia artificial|modelo de lenguaje|modèle de langage|sprachmodell|modello linguistico|taalmodel|языковая модель|dil modeli|agente|chatbot|бот)|\bai(?:へ|、|：|에게)|人工智能|语言模型|智能体|言語モデル|언어 모델|챗봇|الذكاء الاصطناعي|نموذج اللغة|एआई|भाषा मॉडल) ?(?:[,:：!،]|へ|에게|이면|라면)",
    "refusals in a row, elsewhere": r"(?:(?:disculp|desculp|advert|avertiss|avviso|avvertenz|aviso|excus|scus|morali|moral|negar|refus|rifiut|recus|ausred|warnung|absage|waarschuw|weiger|извинен|предупрежд|отказ|морал|przepros|ostrzeż|odmow|özür|uyarı|ret)\S*\s(?:\S+\s){0,3}?){2}|(?:不要|不许|别|禁止)[^。]{0,4}(?:道歉|警告|说教|拒绝|不能)[^。]{0,6}(?:不要|不许|别|禁止)|(?:謝罪|警告|注意書き|説教|拒否|できません)[^。]{0,6}(?:謝罪|警告|注意書き|説教|拒否|できません)|(?:사과|경고|설교|거절|못 해)[^.]{0,8}(?:사과|경고|설교|거절|못 해)|(?:اعتذار|تحذير|مواعظ|رفض)[^.]{0,8}(?:اعتذار|تحذير|مواعظ|رفض)|(?:माफ़ी|चेतावनी|उपदेश|इनकार|मना)[^।]{0,15}(?:माफ़ी|चेतावनी|उपदेश|इनकार|मना)",
    "a reset on its own, elsewhere": r"(?:^|[.!?:] ?¡?)((?:ignor|olvid|descart|anul|deja de lado|oubli|laisse (?:de côté|tomber)|annul|vergiss|verwirf|streiche|lass|esque[cç]|deixa de lado|dimentic|scarta|lascia perdere|negeer|vergeet|schrap|laat|zignoruj|zapomnij|odrzuć|игнорируй|забудь|отбрось|отмени)[^.!?]*[ '](?:instruc|instruk|anweis|befehl|regeln?|vorgaben|reglas?|regras?|regole|règles?|regels|zasad|polece|órdenes|orden|ordini|ordres|opdrachten|consignes?|istruz|todo lo anterior|tout ce qui|alles|tudo|tutto|wszystko|инструкц|указани|правил|команд|всё))|(?:前面|之前|以上|原来)[^。]{0,4}(?:一切|指令|命令|规则|要求|指示)[^。]{0,3}(?:作废|取消|忽略|忘)|(?:忽略|忘掉|作废|取消)(?:前面|之前|以上|原来)[^。]{0,4}(?:一切|指令|命令|规则|要求)|(?:指示|命令|ルール|話)[はを](?:すべて|全部)?(?:無視|破棄|忘れ|取り消)|(?:지시|명령|규칙|지침|말)[은는을를]? ?(?:다 |모두 |전부 )?(?:무시|잊|취소|따르지)|(?:تجاهل|انس|ألغ|اترك)\S* (?:كل ما|التعليمات|الأوامر|القواعد)|(?:निर्देश|आदेश|नियम|बातें) ?(?:को )?(?:भूल|छोड़|अनदेखा|रद्द)|(?:talimat|emir|kural|her şey)\S* (?:unut|yok say|bırak|iptal)",
}
"""Name to pattern. The order is that of the feature numbers in the trained file: append only."""

NAMES: Final = tuple(SHAPES)
# Shapes from one of these to the next share an automaton: one for all outgrows RE2's memory, and
# is 200 times slower from there on
_SHARES: Final = (0, 43, 53, len(NAMES))
_MOST: Final = 40  # hits of one shape in one text that are looked at


class Hit(NamedTuple):
    """Shape number ``shape`` was found at characters ``start`` to ``end``."""

    shape: int
    start: int
    end: int


class Shapes:
    """Finds the shapes; compiled once."""

    def __init__(self) -> None:
        patterns = list(SHAPES.values())
        self._any = [
            (first, compile_set(patterns[first:last])) for first, last in pairwise(_SHARES)
        ]
        self._each = [compile_pattern(pattern) for pattern in SHAPES.values()]

    def find(self, text: str) -> list[Hit]:
        """Every shape in ``text`` (lower case), at most `_MOST` times each."""
        text = text.encode("utf-8", "replace").decode() if not text.isascii() else text
        hits = []
        for shape in self._there(text):
            for count, match in enumerate(self._each[shape].finditer(text)):
                if count == _MOST:
                    break
                # A group, where a shape has one, leaves out the end of the sentence before
                start = max(match.start(), match.start(self._each[shape].groups))
                hits.append(Hit(shape, start, match.end()))
        return hits

    def _there(self, text: str) -> list[int]:
        """The numbers of the shapes that occur."""
        return [
            first + shape for first, some in self._any for shape in sorted(some.Match(text) or ())
        ]
