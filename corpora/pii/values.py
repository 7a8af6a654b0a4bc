"""Invented values: numbers of countries with their check digits, names, addresses.

Nothing here belongs to anyone on purpose. Telephone numbers come from the ranges that regulators
keep for fiction where a country has one, and are random elsewhere.
"""

from random import Random

GIVEN = {
    "en": "Grace Oliver Priya Callum Hazel Tyrone Imogen Desmond Kofi Marjorie Wendell Saoirse",
    "de": "Annegret Jonas Friederike Torben Lieselotte Mats Heike Ansgar Wiebke Detlef",
    "fr": "Maëlle Thibault Océane Gaspard Ségolène Loïc Marguerite Yanis Clotilde Bastien",
    "es": "Lucía Iñaki Rocío Álvaro Maite Joaquín Nuria Ximena Gonzalo Pilar",
    "it": "Giulia Lorenzo Beatrice Tommaso Ludovica Ettore Chiara Salvatore Ornella Fausto",
    "pt": "Inês Tiago Beatriz Rui Mafalda Afonso Joana Caio Larissa Thiago",
    "nl": "Sanne Daan Marijke Bram Femke Joost Lotte Ruben Anouk Sjoerd",
    "pl": "Agnieszka Bartosz Zofia Krzysztof Małgorzata Tomasz Kinga Wojciech Danuta Igor",
    "sv": "Astrid Gustav Elsa Nils Ebba Sixten Maja Göran Linnea Torsten",
    "tr": "Elif Mehmet Zeynep Emre Ayşe Kerem Defne Burak Selin Hakan",
}
FAMILY = {
    "en": "Whitlock Okafor Pemberton Marsh Castellano Dunne Hargreaves Lindqvist Abernathy Tull",
    "de": "Brandstetter Köhler Nußbaum Ziegenhain Oberländer Dreyer Wittkamp Seibold Voß Hartung",
    "fr": "Lemoine Charpentier Dufresne Vasseur Roussillon Perrault Guillou Maréchal Tessier",
    "es": "Echeverría Navarro Quintana Robledo Sepúlveda Villalba Zamorano Peñalver Iturbe",
    "it": "Bellandi Cattaneo Fumagalli Marchetti Pellegrini Quaranta Ruggeri Santoro Venturi",
    "pt": "Figueiredo Cavalcanti Moura Teixeira Vasconcelos Prates Seabra Lacerda Brandão",
    "nl": "Hoekstra Dijkgraaf Verbeek Oosterhuis Kuipers Zwart Boersma Wiersma Postma",
    "pl": "Wiśniewska Zalewski Krawczyk Sikorska Jabłoński Wróbel Malinowska Czarnecki",
    "sv": "Bergqvist Sandström Hedlund Nyberg Ekdahl Lindroth Wikander Åkesson Söderlund",
    "tr": "Yıldırım Kaplan Öztürk Demirci Aksoy Şahin Korkmaz Erdoğdu Polat",
}
DOMAINS = [
    "example.com",
    "example.org",
    "example.net",
    "mailbox.example.de",
    "post.example.fr",
    "correo.example.es",
    "example.co.uk",
    "webmail.example.it",
    "example.com.br",
    "firma.example.pl",
]
HAN_NAMES = ["王小明", "李思雨", "张伟强", "陈美玲", "刘子轩", "赵雅婷", "周建国", "吴佳怡"]


def number(dice: Random, pattern: str) -> str:
    """``#`` is any digit, ``%`` one but 0."""
    return "".join(
        str(dice.randint(0, 9)) if c == "#" else str(dice.randint(1, 9)) if c == "%" else c
        for c in pattern
    )


def given(dice: Random, lang: str) -> str:
    return dice.choice(GIVEN.get(lang, GIVEN["en"]).split())


def family(dice: Random, lang: str) -> str:
    return dice.choice(FAMILY.get(lang, FAMILY["en"]).split())


def person(dice: Random, lang: str) -> str:
    if lang == "zh":
        return dice.choice(HAN_NAMES)
    return f"{given(dice, lang)} {family(dice, lang)}"


def email(dice: Random, lang: str) -> str:
    first, last = (
        "".join(c for c in word.lower() if c.isascii()) or "kim"
        for word in (given(dice, lang), family(dice, lang))
    )
    joint = dice.choice([".", "_", "", "-", "+"])
    local = dice.choice([f"{first}{joint}{last}", f"{first[0]}{last}{dice.randint(1, 99)}", last])
    return f"{local}@{dice.choice(DOMAINS)}"


PHONES = {
    "en": "212-555-01##|(415) 555-01##|+1 646 555 01##|07700 900###|020 7946 0###|+44 7700 900###"
    "|1-800-555-01##|312.555.01##",
    "de": "030 23125###|0151/23456###|+49 89 99998###|+49 (0)40 66969###|0170 1234%##"
    "|069-90009###",
    "fr": "01 99 00 ## ##|06.39.98.##.##|+33 6 39 98 ## ##|0639980###|+33 (0)1 99 00 ## ##",
    "es": "612 34 ## ##|+34 91 123 4#% 5#|912 345 6##|+34 655 12# ###|623 456 7##",
    "it": "06 6982 ####|+39 347 123 45##|02 1234 56##|347-12345##",
    "pt": "(11) 9%###-####|+55 21 9%###-####|+351 912 345 ###|912 345 6##|(21) 3%##-####",
    "nl": "020 123 45##|06-12345###|+31 6 1234 5###|06 12 34 5# ##",
    "pl": "+48 601 234 ###|601-234-###|22 123 45 ##|501 23# ###",
    "sv": "070-174 06 ##|+46 70 174 06 ##|08-465 004 ##",
    "tr": "0532 123 45 ##|+90 532 123 45 ##|0(212) 345 67 ##",
    "zh": "138%%%#####|+86 139 %### ####|010-8%##-####",
    "ja": "090-1234-%###|03-1234-%###|+81 90 1234 %###",
    "ru": "+7 916 123-45-##|8 (495) 123-45-##|8 926 123 45 ##",
}


def phone(dice: Random, lang: str) -> str:
    return number(dice, dice.choice(PHONES[lang].split("|")))


def luhn_digit(digits: str) -> str:
    doubled = [int(c) * (2 - i % 2) for i, c in enumerate(reversed(digits))]
    return str(-sum(d // 10 + d % 10 for d in doubled) % 10)


def card(dice: Random, _: str) -> str:
    prefix, size = dice.choice(
        [("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("6011", 16), ("36", 14), ("3528", 16)]
    )
    body = number(dice, prefix + "#" * (size - len(prefix) - 1))
    whole = body + luhn_digit(body)
    if size == 16:
        joint = dice.choice(["", " ", "-"])
        return joint.join(whole[i : i + 4] for i in range(0, 16, 4))
    if size == 15 and dice.random() < 0.5:
        return f"{whole[:4]} {whole[4:10]} {whole[10:]}"
    return whole


def iban(dice: Random, _: str) -> str:
    land, bban = dice.choice(
        [("DE", "%" + "#" * 17), ("FR", "%" + "#" * 22), ("ES", "%" + "#" * 19),
         ("NL", "ABNA" + "#" * 10), ("GB", "WEST" + "#" * 14), ("PL", "%" + "#" * 23),
         ("IT", "X" + "#" * 22), ("AT", "%" + "#" * 15), ("BE", "%" + "#" * 11),
         ("CH", "%" + "#" * 16), ("SE", "%" + "#" * 19), ("NO", "%" + "#" * 10)]
    )  # fmt: skip
    account = number(dice, bban)
    as_number = "".join(str(int(c, 36)) for c in account + land + "00")
    whole = f"{land}{98 - int(as_number) % 97:02d}{account}"
    if dice.random() < 0.5:
        return " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))
    return whole


def ssn(dice: Random, _: str) -> str:
    return f"{dice.choice([dice.randint(1, 665), dice.randint(667, 899)]):03d}-" + (
        f"{dice.randint(1, 99):02d}-{dice.randint(1, 9999):04d}"
    )


def ip(dice: Random, _: str) -> str:
    if dice.random() < 0.3:
        return "2001:db8:" + ":".join(f"{dice.randint(1, 65535):x}" for _ in range(6))
    return ".".join(str(dice.randint(1, 254)) for _ in range(4))


def mac(dice: Random, _: str) -> str:
    return dice.choice(":-").join(f"{dice.randint(0, 255):02x}" for _ in range(6))


_KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def key(dice: Random, _: str) -> str:
    def drawn(size: int, letters: str = _KEY) -> str:
        return "".join(dice.choice(letters) for _ in range(size - 2)) + "7k"

    return dice.choice(
        ["AKIA" + "".join(dice.choice("ABCDEFGHIJKLMNOP234567") for _ in range(16)),
         "ghp_" + drawn(36), "sk-" + drawn(48), "sk_live_" + drawn(24), "glpat-" + drawn(20),
         f"eyJhbGciOiJIUzI1NiJ9.eyJ{drawn(30)}.{drawn(43)}"]
    )  # fmt: skip


def date(dice: Random, lang: str) -> str:
    day, month, year = dice.randint(1, 28), dice.randint(1, 12), dice.randint(1940, 2012)
    forms = [f"{year}-{month:02d}-{day:02d}", f"{day:02d}/{month:02d}/{year}"]
    if lang in ("de", "pl", "tr", "ru"):
        forms.append(f"{day}.{month}.{year}")
    if lang == "en":
        forms.append(f"{day} March {year}")
    return f"{year}年{month}月{day}日" if lang in ("zh", "ja") else dice.choice(forms)


STREETS = {
    "en": ("{n} {w} Street", "{n} {w} Road, Flat 4", "{n} {w} Ave Apt 7B", "{n} North {w} Lane"),
    "de": ("{w}straße {n}", "Am {w} {n}", "{w}weg {n}a"),
    "fr": ("{n} rue de la {w}", "{n} bis avenue {w}", "{n}, boulevard {w}"),
    "es": ("Calle {w} {n}", "Avenida de {w}, {n}", "C/ {w} {n}"),
    "it": ("Via {w} {n}", "Piazza {w}, {n}", "Viale {w} {n}"),
    "pt": ("Rua {w}, {n}", "Avenida {w} {n}", "Travessa {w} {n}"),
    "nl": ("{w}straat {n}", "{w}laan {n}", "{w}gracht {n}"),
    "pl": ("ul. {w} {n}", "al. {w} {n}", "ul. {w} {n}/3"),
    "sv": ("{w}gatan {n}", "{w}vägen {n}"),
}
STREET_WORDS = {
    "en": "Maple Kingfisher Old-Mill Harbour Juniper Station",
    "de": "Linden Goethe Mühlen Ahorn Bahnhof",
    "fr": "République Fontaine Liberté Victoire",
    "es": "Alcalá Serrano Colón Olivos",
    "it": "Garibaldi Mazzini Dante Cavour",
    "pt": "Augusta Primavera Flores Liberdade",
    "nl": "Beatrix Prinsen Kerk Molen",
    "pl": "Lipowa Słoneczna Polna Długa",
    "sv": "Drottning Storken Björk Ring",
}


def street(dice: Random, lang: str) -> str:
    lang = lang if lang in STREETS else "en"
    word = dice.choice(STREET_WORDS[lang].split())
    return dice.choice(STREETS[lang]).format(n=dice.randint(1, 240), w=word)


ZIPS = {"en": "%####", "de": "%####", "fr": "75###", "es": "28###", "it": "20###",
        "pt": "%####-###", "nl": "1### AB", "pl": "0%-###", "sv": "1## ##", "zh": "1000##",
        "ja": "150-00##", "ru": "1#####", "tr": "34###"}  # fmt: skip


def zip_code(dice: Random, lang: str) -> str:
    return number(dice, ZIPS[lang])


def age(dice: Random, _: str) -> str:
    return str(dice.randint(18, 94))


def national(dice: Random, lang: str) -> str:
    return {
        "de": _german, "fr": _french, "es": _spanish, "pt": _brazilian, "pl": _polish,
        "nl": _dutch, "zh": _chinese, "en": _british, "sv": _swedish,
    }[lang](dice)  # fmt: skip


def _german(dice: Random) -> str:
    digits = dice.sample("0123456789", 9)
    body = "".join(dice.sample([*digits, digits[0]], 10))
    body = body if body[0] != "0" else body[1:] + "0"
    product = 10
    for c in body:
        product = ((int(c) + product) % 10 or 10) * 2 % 11
    return f"{body}{(11 - product) % 10}"


def _french(dice: Random) -> str:
    body = number(dice, f"{dice.choice('12')}##{dice.randint(1, 12):02d}75######")
    return f"{body}{97 - int(body) % 97:02d}"


def _spanish(dice: Random) -> str:
    body = number(dice, "########")
    return body + "TRWAGMYFPDXBNJZSQVHLCKE"[int(body) % 23]


def _brazilian(dice: Random) -> str:
    n = number(dice, "%########")
    for size in (9, 10):
        n += str(sum(int(c) * (size + 1 - i) for i, c in enumerate(n)) * 10 % 11 % 10)
    return f"{n[:3]}.{n[3:6]}.{n[6:9]}-{n[9:]}"


def _polish(dice: Random) -> str:
    body = f"{dice.randint(40, 99)}{dice.randint(1, 12):02d}{dice.randint(1, 28):02d}####"
    body = number(dice, body)
    total = sum(int(c) * w for c, w in zip(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), strict=True))
    return f"{body}{-total % 10}"


def _dutch(dice: Random) -> str:
    while True:
        body = number(dice, "%#######")
        rest = sum(int(c) * w for c, w in zip(body, range(9, 1, -1), strict=True)) % 11
        if rest < 10:
            return f"{body}{rest}"


def _chinese(dice: Random) -> str:
    body = number(dice, f"110101{dice.randint(1950, 2005)}{dice.randint(1, 12):02d}1####"[:17])
    total = sum(int(c) * (2 ** (17 - i) % 11) for i, c in enumerate(body))
    return body + "10X98765432"[total % 11]


def _british(dice: Random) -> str:
    return number(dice, dice.choice(["AB ## ## ## C", "JK######A", "PW ## ## ## D"]))


def _swedish(dice: Random) -> str:
    body = f"{dice.randint(40, 99)}{dice.randint(1, 12):02d}{dice.randint(1, 28):02d}"
    body = number(dice, f"{body}###")
    return f"{body[:6]}-{body[6:]}{luhn_digit(body)}"


def passport(dice: Random, _: str) -> str:
    return number(dice, dice.choice(["C0%X##T5#", "X%######", "%########", "P%#######"]))


def licence(dice: Random, _: str) -> str:
    return number(dice, dice.choice(["D#######", "%########", "S###-####-####", "F%###########"]))


def account(dice: Random, _: str) -> str:
    return number(dice, dice.choice(["%#######", "%#########", "%###########"]))


def domain(dice: Random, lang: str) -> str:
    word = family(dice, lang).lower()
    word = "".join(c for c in word if c.isascii()) or "shop"
    return dice.choice(
        [f"https://www.{word}.com/about", f"http://{word}.org", f"www.{word}.de", f"{word}.io"]
    )


MAKERS = {
    "PERSON": person, "EMAIL_ADDRESS": email, "PHONE_NUMBER": phone, "CREDIT_CARD": card,
    "IBAN_CODE": iban, "US_SSN": ssn, "IP_ADDRESS": ip, "MAC_ADDRESS": mac, "SECRET": key,
    "DATE_TIME": date, "STREET_ADDRESS": street, "ZIP_CODE": zip_code, "AGE": age,
    "NATIONAL_ID": national, "PASSPORT": passport, "US_DRIVER_LICENSE": licence,
    "BANK_ACCOUNT": account, "DOMAIN_NAME": domain,
}  # fmt: skip
