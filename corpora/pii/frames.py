"""Sentences with holes, by language.

``{TYPE}`` is filled by :mod:`values`, ``{TYPE=value}`` by what it says.
"""

FRAMES = {
    "en": """
        hey can you rewrite this: my name is {PERSON} and my number is {PHONE_NUMBER}
        Please email {EMAIL_ADDRESS} and cc {EMAIL_ADDRESS} about the refund.
        Call me back on {PHONE_NUMBER} after 6, thanks
        my card {CREDIT_CARD} was declined twice, what now??
        Is {CREDIT_CARD} a valid Visa number?
        The transfer goes to {IBAN_CODE}, reference "rent".
        my ssn is {US_SSN} and i was born {DATE_TIME}
        For the form: social security number {US_SSN}, phone {PHONE_NUMBER}.
        server {IP_ADDRESS} does not answer pings any more
        Someone logged in from {IP_ADDRESS} last night, is that bad?
        I live at {STREET_ADDRESS}, zip code {ZIP_CODE}
        Ship it to {STREET_ADDRESS} please.
        I'm {AGE} years old and my knees hurt
        patient, age {AGE}, complains of chest pain
        why does this key not work: {SECRET}
        My driver's license number is {US_DRIVER_LICENSE}.
        passport number {PASSPORT}, expires next year
        national insurance number {NATIONAL_ID}
        bank account number {BANK_ACCOUNT}, can you check the format?
        what do you think of {DOMAIN_NAME} as a site?
        Dear {PERSON}, we could not reach you on {PHONE_NUMBER}.
        text {PHONE_NUMBER} if the parcel comes
        contact: {PERSON} <{EMAIL_ADDRESS}>
        the router has mac {MAC_ADDRESS} and ip {IP_ADDRESS}
    """,
    "de": """
        ich heiße {PERSON} und wohne in der {STREET_ADDRESS}
        Ruf mich bitte unter {PHONE_NUMBER} an.
        Meine E-Mail ist {EMAIL_ADDRESS}, kannst du den Brief umschreiben?
        Überweise das Geld auf {IBAN_CODE} bis {DATE_TIME=Freitag}
        Meine Steuer-ID lautet {NATIONAL_ID}.
        Kreditkarte {CREDIT_CARD} wurde abgelehnt
        geboren am {DATE_TIME}, PLZ {ZIP_CODE}
        Ich bin {AGE} Jahre alt und suche eine Wohnung
        Handy: {PHONE_NUMBER}, Reisepass {PASSPORT}
    """,
    "fr": """
        je m'appelle {PERSON}, mon numéro est le {PHONE_NUMBER}
        Écrivez-moi à {EMAIL_ADDRESS} svp
        J'habite {STREET_ADDRESS}, code postal {ZIP_CODE}
        Mon numéro de sécurité sociale : {NATIONAL_ID}
        Voici mon IBAN {IBAN_CODE} pour le virement
        ma carte {CREDIT_CARD} ne marche plus
        téléphone {PHONE_NUMBER}, née le {DATE_TIME}
        j'ai {AGE} ans et je cherche un emploi
    """,
    "es": """
        me llamo {PERSON} y mi correo es {EMAIL_ADDRESS}
        llámame al {PHONE_NUMBER} por favor
        mi DNI es {NATIONAL_ID}
        vivo en {STREET_ADDRESS}, código postal {ZIP_CODE}
        la tarjeta {CREDIT_CARD} fue rechazada
        Transferir a {IBAN_CODE} antes del {DATE_TIME=lunes}
        tengo {AGE} años, teléfono {PHONE_NUMBER}
    """,
    "it": """
        mi chiamo {PERSON}, scrivimi a {EMAIL_ADDRESS}
        il mio telefono è {PHONE_NUMBER}
        abito in {STREET_ADDRESS}
        bonifico su {IBAN_CODE} entro {DATE_TIME=venerdì}
        carta di credito {CREDIT_CARD} bloccata, che faccio?
        cellulare {PHONE_NUMBER}, ho {AGE} anni
    """,
    "pt": """
        meu nome é {PERSON} e meu telefone é {PHONE_NUMBER}
        meu CPF é {NATIONAL_ID}
        manda para {EMAIL_ADDRESS} por favor
        moro na {STREET_ADDRESS}, CEP {ZIP_CODE}
        cartão {CREDIT_CARD} recusado
        me liga no celular {PHONE_NUMBER}
    """,
    "nl": """
        mijn naam is {PERSON} en ik woon op {STREET_ADDRESS}
        bel me op {PHONE_NUMBER}
        mijn BSN is {NATIONAL_ID}
        maak het over naar {IBAN_CODE} aub
        mail naar {EMAIL_ADDRESS}
    """,
    "pl": """
        nazywam się {PERSON}, mój numer telefonu {PHONE_NUMBER}
        PESEL: {NATIONAL_ID}
        mieszkam przy {STREET_ADDRESS}, kod pocztowy {ZIP_CODE}
        przelew na konto {IBAN_CODE}
        mój mail {EMAIL_ADDRESS}, zadzwoń {PHONE_NUMBER}
    """,
    "sv": """
        jag heter {PERSON}, mobil {PHONE_NUMBER}
        personnummer {NATIONAL_ID}
        jag bor på {STREET_ADDRESS}
        maila {EMAIL_ADDRESS}
    """,
    "tr": """
        benim adım {PERSON}, telefon {PHONE_NUMBER}
        bana {EMAIL_ADDRESS} adresinden yaz
        kart numaram {CREDIT_CARD}
        cep {PHONE_NUMBER}, IBAN {IBAN_CODE}
    """,
    "zh": """
        我叫{PERSON}，电话{PHONE_NUMBER}
        我的身份证号是{NATIONAL_ID}
        请发邮件到{EMAIL_ADDRESS}
        信用卡{CREDIT_CARD}被拒了
        手机：{PHONE_NUMBER}，邮编{ZIP_CODE}
        出生于{DATE_TIME}
    """,
    "ja": """
        電話番号は{PHONE_NUMBER}です
        メールは{EMAIL_ADDRESS}までお願いします
        カード番号 {CREDIT_CARD} が使えません
        携帯 {PHONE_NUMBER} 郵便番号{ZIP_CODE}
    """,
    "ru": """
        позвони мне {PHONE_NUMBER}
        моя почта {EMAIL_ADDRESS}, телефон {PHONE_NUMBER}
        карта {CREDIT_CARD} заблокирована
        сервер {IP_ADDRESS} не отвечает
    """,
}
"""What people type."""

RECORDS = r"""
    {"name": "{PERSON}", "email": "{EMAIL_ADDRESS}", "phone": "{PHONE_NUMBER}"}
    {"user": {"mail": "{EMAIL_ADDRESS}", "ip": "{IP_ADDRESS}"}, "active": true}
    name,email,phone\n{PERSON},{EMAIL_ADDRESS},{PHONE_NUMBER}
    id;card;mail\n17;{CREDIT_CARD};{EMAIL_ADDRESS}
    {DATE_TIME=2024-11-03T08:12:44Z} INFO login user={EMAIL_ADDRESS} from {IP_ADDRESS}
    [error] 4411#0: client: {IP_ADDRESS}, server: example, request: "GET / HTTP/1.1"
    export AWS_ACCESS_KEY_ID={SECRET}
    Authorization: Bearer {SECRET}
    Name: {PERSON}\nPhone: {PHONE_NUMBER}\nE-mail: {EMAIL_ADDRESS}\nAddress: {STREET_ADDRESS}
    Full name: {PERSON}\nSSN: {US_SSN}\nMobile: {PHONE_NUMBER}
    Customer: {PERSON}\nCard: {CREDIT_CARD}\nIBAN: {IBAN_CODE}
    SELECT * FROM users WHERE email = '{EMAIL_ADDRESS}' AND last_ip = '{IP_ADDRESS}';
    arp: {IP_ADDRESS} at {MAC_ADDRESS} on en0
    > From: {PERSON} <{EMAIL_ADDRESS}>\n> Tel {PHONE_NUMBER}
"""
"""What people paste; ``\\n`` is a new line."""

BENIGN = r"""
    Where is order #%#########? It was due on Monday.
    order number %#######-%### shipped
    invoice %##### of May is 1,2##.## EUR
    ISBN 978-3-16-14841%-0 is out of print
    what does ISBN 97801%####### refer to
    upgrade from v%.1#.%##.# to v%.2#.#.%
    version %.#.%.# broke our build
    Chrome 1##.0.5%##.1## crashes
    pip install numpy==1.2%.# pandas>=2.#.%
    timestamp 17%########, what date is that
    unix time 17%######## vs 17%###########
    solve 3%4 * 1%7 - 28## / 4
    what is %###### divided by %##
    sqrt(1%4#) + 3.1415926%#
    is %####### a prime number
    factor %######### please
    commit %a4f%c2e%b9d0a1c7 broke main
    sha256: %f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a%#
    uuid %50e8400-e29b-41d4-a716-44665544%###
    the price went from $1,2##.00 to $%##.99
    part no. %##-%##-%### does not fit
    SKU %###-%###-%## is out of stock
    part number 555-1%#-%### or %##-4%##
    tracking 1Z999AA1012345%###
    parcel 00340434161094%##### is late
    ticket INC00%##### is still open
    bug %#### in module 0x7ffe%####
    error code 0x8007%### on boot
    flight LH%## at 14:%5, gate B1%
    page %## of chapter %.#
    port 80%# is taken, try 90%#
    SELECT count(*) FROM t WHERE id > %#######
    for i in range(%00000): print(i)
    x = [%, %#, %##, %###, %####]
    a = np.array([[1, %], [%, 4]]) * %#.#
    the population is %#,###,### now
    revenue rose %#.# % to 1.%## billion
    resolution 1920x10%0 at 1%4 Hz
    temperature -1%.# °C, humidity %# %
    part %.%.%.% of the standard
    section %.%#.%.# of the contract
    RFC %### and RFC 79#%
    EAN 40123456%####
    latitude 52.5%####, longitude 13.4%####
    scores: 10% 23% 14# 99 7% 45
    call graph depth %####### nodes
    model number SM-G99%#B/DS
    room %##, building %
    the %##-%## season ended %-2
    he ran 42.195 km in 2:0%:%#
    phone case for model A2%###
    serial C02X%0#JG5H
    10.%##.%% million people
    add 2%0 g flour and 1%0 ml water
    bitcoin is at %#,###.## dollars
    translate '%### apples' into Spanish
    der Preis beträgt %.###,## Euro
    Bestellnummer %######### bitte stornieren
    commande n° %####### pas reçue
    número de pedido %########
    订单号 202%11%#%#####
    注文番号 %##-%######-%###### の件
    заказ номер %#######
    git diff %a3b9%c..HEAD~%
    docker run -p 80%0:80 nginx:1.2%.#
    127 * 1%# = ?
    %#/%#/%# is not a date
    1 2 3 4 5 6 7 8 9 %# 11 12
    0.%####### vs 1.0e-%
    convert %##### seconds to hours
    #%#####, rgb(%#, %#, %##)
    policy clause %#.%(a) applies
    account balance 1%,###.##
    lot 20%4-%##-A expires
    case no. %:2%-cv-0%###
"""
"""Texts without personal data that look like some: ``#`` is any digit, ``%`` one but 0."""
