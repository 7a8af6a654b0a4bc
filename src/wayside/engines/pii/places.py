"""Street addresses and postal codes, as letters and forms of a dozen countries write them."""

from __future__ import annotations

from wayside.engines.pii.forms import Form

_U = r"A-Z\x{c0}-\x{de}\x{100}-\x{17f}\x{386}-\x{42f}"
_L = r"A-Za-z\x{c0}-\x{24f}\x{370}-\x{52f}"
"""Capitals and letters of Latin, Greek, Cyrillic: the automaton of ``\\pL`` is 20 times larger."""

_WORD = rf"[{_U}\d][{_L}\d'’.-]*"
_LOWER = (
    r"(?:de|da|do|dos|das|del|della|dei|di|du|des|la|le|les|van|von|zum|zur|den|der|het|na"
    r"|of|the|e|y)"
)
_NAME = rf"{_WORD}(?: (?:{_LOWER} ){{0,2}}{_WORD}){{0,3}}"
_UNIT = (
    r"(?:,? (?:Apt\.?|Apartment|Suite|Ste\.?|Unit|Flat|Fl\.?|Floor|Room|Rm\.?"
    r"|#) ?[\dA-Z-]{1,6}\b)?"
)
_AFTER = (  # number, name, word
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square"
    r"|Sq|"
    r"Terrace|Way|Crescent|Cres|Close|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Trail|Alley|Row|Mews|"
    r"Gardens|Grove|Hill|Park|Walk|Quay|Heights|Bypass|Extension|Gateway|Green|Gate)"
)
_BEFORE = (  # word, name, number
    r"(?:Rua|Avenida|Av\.|Avda\.?|Alameda|Travessa|Calle|C/|Carrer|Plaza|Paseo|Camino|Rúa|Via"
    r"|Viale|"
    r"Piazza|Corso|Vicolo|Rue|Impasse|Chemin|Allée|Quai|Cours|Boulevard|Avenue|Place|ul\.|al\."
    r"|pl\.|"
    r"Ulica|ulica|Aleja|улица|ул\.|проспект|пр\.|пер\.|Str\.|Strada|Trg|Ulice|Jalan|Jl\.)"
)
_JOINED = (  # name and word in one, then the number
    rf"[{_U}][{_L}.-]+(?:straße|strasse|str\.|gasse|weg|platz|allee|damm|ufer|straat|laan|"
    r"plein|gracht|kade|dreef|vägen|gatan|gata|vej|gade|allé|veien|katu|kuja|stien|gränd|"
    r"braut|vegur|utca)"
)
_NO = r"\d{1,5}[a-zA-Z]?(?:[-/]\d{1,4}[a-zA-Z]?)?"

_LIVES = (
    "address", "live", "lives", "located", "street", "adresse", "anschrift", "wohn", "dirección",
    "domicilio", "vivo en", "indirizzo", "abito", "endereço", "moro na", "adres", "mieszkam",
    "habite", "адрес", "ship", "deliver", "send", "billing", "corner", "bus", "meet", "offices",
)  # fmt: skip
_US_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ"
    "|NM|NY"
    "|NC|ND|OH|OK|OR|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC"
)
_CODE = (
    r"(?:\d{5}(?:-\d{3,4})?|\d{3,4}|\d{4} ?[A-Z]{2}|\d{2}-\d{3}|\d{3} \d{2}|\d{3}-\d{4}"
    r"|\d{4}-\d{3}|"
    r"\d{6,7}|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d)"
)

FORMS = (
    Form("STREET_ADDRESS", rf"\b{_NO},? (?:[NSEW]\.? )?{_NAME} {_AFTER}\b\.?{_UNIT}", 0.85),
    Form("STREET_ADDRESS", rf"(?:\b"
         rf"|^){_BEFORE} (?:{_LOWER} ){{0,2}}{_NAME},? (?:n\.? ?°?º? ?)?{_NO}\b"
         rf"{_UNIT}", 0.85, lambda text: any(c.isdigit() for c in text)),
    Form("STREET_ADDRESS", rf"\b{_NO},? (?:bis |ter )?(?i:rue|avenue|av\.|boulevard|bd|place"
         rf"|chemin|"
         rf"impasse|allée|quai|cours|square) (?:(?:{_LOWER}|l['’]) ?){{0,2}}{_NAME}", 0.85),
    Form("STREET_ADDRESS", rf"{_JOINED} {_NO}\b{_UNIT}", 0.8),
    Form("STREET_ADDRESS", rf"\b[{_U}][{_L}-]+(?:er|n) (?:Straße|Strasse|Str\.|Weg|Platz|Allee"
         rf"|Ring|Damm|Ufer|Landstraße) {_NO}\b", 0.85),
    Form("STREET_ADDRESS", r"(?i)\bP\.? ?O\.? ?Box \d{1,6}\b|\bpostfach \d{1,6}(?: \d{2})?\b|"
         r"\b(?:psc|unit) \d{3,4},? box \d{3,5}(?:[\s,]{1,3}[ad]po [a-z]{2} \d{5})?|"
         r"\b(?:apartado|casella postale|boîte postale|caixa postal) \d{1,6}\b", 0.9),
    Form("STREET_ADDRESS", r"\b(?:Apt\.?|Apartment|Suite|Flat) \d{1,5}[A-Z]?\b", 0.6, near=0.75,
         words=_LIVES),
    Form("STREET_ADDRESS", r"\d{1,4}[-−]\d{1,4}[-−]\d{1,4}号?室?|\p{Han}+(?:路|街|大道"
         r"|巷)\d{1,5}号"
         r"(?:\d{1,4}[室楼栋])?", 0, near=0.7,
         words=("住所", "地址", "住在", "丁目", "番地", "都", "区", "路", "街")),
    Form("STREET_ADDRESS", r"(?i)\b(?:address|adresse|anschrift|dirección|indirizzo|endereço"
         r"|adres)"
         rf"[\"']?(?: is| ist| es| est| è| é)?[:= ]{{1,3}}[\"']?({_NO},? [^\n\",;<>|]{{4,60}}"
         rf"|[^\n\",;<>|\d]"
         rf"{{4,40}} {_NO})", 0.6, lambda text: any(c.isdigit() for c in text)
         and "@" not in text and "." not in text.replace(". ", "").rstrip(".")[:15]),
    Form("STREET_ADDRESS", rf"\b{_NO} {_NAME} \d{{1,4}}\b", 0,
         lambda text: any(map(str.isalpha, text)), 0.6, _LIVES),
    Form("ZIP_CODE", r"(?i)\b(?:zip(?: ?code)?|post(?:al)? ?code|postcode|plz|postleitzahl"
         r"|code postal|c[óo]digo postal|cap|cep|kod pocztowy|posta kodu|pincode|pin code|eircode"
         r"|postnummer)[\"']?(?: is| ist| es| est| è| é)?[^\w\n]{0,4}"
         rf"({_CODE})(?:[^\w\s-]|\s+[^\d\s]|\s*$)", 0.9, lambda text: any(map(str.isdigit, text))),
    Form("ZIP_CODE", r"(?:индекс|郵便番号|邮编|邮政编码|〒|우편번호)[は是: ：]{0,3}(\d{3}-?\d{4}"
         r"|\d{5,6})", 0.95),
    Form("ZIP_CODE", rf"[{_L}.],? (?:{_US_STATES}),? (\d{{5}}(?:-\d{{4}})?)\b", 0.85),
    Form("ZIP_CODE", r"\b([A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2})\b", 0.7),  # UK
    Form("ZIP_CODE", r"\b([ABCEGHJ-NPRSTVXY]\d[A-Z] \d[A-Z]\d)\b", 0.75),  # Canada
    Form("ZIP_CODE", r"(?:^|[\n,] ?|\d, ?|in )(\d{5}|\d{4} [A-Z]{2}|\d{2}-\d{3}|\d{3} \d{2}) "
         rf"[{_U}][{_L}-]+(?: [{_U}][{_L}-]+)?(?:[\n,.;]|$)", 0.5, near=0.8, words=_LIVES),
)  # fmt: skip
