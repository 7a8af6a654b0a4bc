# ruff: noqa: E501 -- the lists read best as they are, one thought a line
"""Hand-written topics and question frames in other languages than English.

`TOPICS[lang][domain]` holds topics; `FRAMES[lang]` ways to ask about one (`{t}`).
"""

from topics import words

FRAMES = {
    "de": words(
        "{t}|was ist {t}?|erkläre mir {t}|Kannst du mir {t} erklären?|hilfe bei {t}|eine kurze zusammenfassung zu {t}|ich verstehe {t} nicht|Frage zu {t}|Beispiele für {t}|wie funktioniert {t}"
    ),
    "fr": words(
        "{t}|c'est quoi {t} ?|explique-moi {t}|Peux-tu m'expliquer {t} ?|aide-moi avec {t}|un résumé sur {t}|je ne comprends pas {t}|question sur {t}|exemples : {t}|comment fonctionne {t}"
    ),
    "es": words(
        "{t}|¿qué es {t}?|explícame {t}|¿Me puedes explicar {t}?|ayúdame con {t}|un resumen de {t}|no entiendo {t}|pregunta sobre {t}|ejemplos de {t}|como funciona {t}"
    ),
    "pt": words(
        "{t}|o que é {t}?|explique {t}|Você pode me explicar {t}?|me ajuda com {t}|um resumo sobre {t}|não entendo {t}|dúvida sobre {t}|exemplos de {t}|como funciona {t}"
    ),
    "it": words(
        "{t}|cos'è {t}?|spiegami {t}|Mi puoi spiegare {t}?|aiutami con {t}|un riassunto su {t}|non capisco {t}|domanda su {t}|esempi di {t}|come funziona {t}"
    ),
    "nl": words(
        "{t}|wat is {t}?|leg {t} uit|Kun je {t} uitleggen?|help me met {t}|een samenvatting van {t}|ik snap {t} niet|vraag over {t}|voorbeelden van {t}|hoe werkt {t}"
    ),
    "pl": words(
        "{t}|co to jest {t}?|wyjaśnij: {t}|Możesz mi wytłumaczyć {t}?|pomóż mi: {t}|krótkie podsumowanie: {t}|nie rozumiem: {t}|pytanie: {t}|przykłady: {t}|jak działa {t}"
    ),
    "ru": words(
        "{t}|что такое {t}?|объясни {t}|Можешь объяснить {t}?|помоги: {t}|краткий обзор: {t}|не понимаю {t}|вопрос про {t}|примеры: {t}|как работает {t}"
    ),
    "tr": words(
        "{t}|{t} nedir?|{t} açıklar mısın|Bana {t} anlat|{t} konusunda yardım et|{t} özeti|{t} anlamıyorum|{t} hakkında soru|{t} örnekleri|{t} nasıl olur"
    ),
    "zh": words(
        "{t}|什么是{t}?|解释一下{t}|请介绍{t}|帮我理解{t}|{t}的总结|我不懂{t}|关于{t}的问题|{t}的例子|{t}怎么办"
    ),
    "ja": words(
        "{t}|{t}とは何ですか|{t}を説明して|{t}について教えてください|{t}を手伝って|{t}のまとめ|{t}がわからない|{t}の質問|{t}の例|{t}はどうすればいい"
    ),
    "ar": words(
        "{t}|ما هو {t}؟|اشرح لي {t}|هل يمكنك شرح {t}؟|ساعدني في {t}|ملخص عن {t}|لا أفهم {t}|سؤال عن {t}|أمثلة على {t}|كيف {t}"
    ),
    "hi": words(
        "{t}|{t} क्या है?|{t} समझाओ|क्या आप {t} समझा सकते हैं?|{t} में मदद करो|{t} का सारांश|मुझे {t} समझ नहीं आता|{t} के बारे में सवाल|{t} के उदाहरण|{t} कैसे"
    ),
}

_LANGS = {
    "de": """
biology: Photosynthese|die Zelle|Zellteilung|Evolution|Gene und Vererbung|DNA|Bienen|Vögel und ihr Gesang|Pflanzen im Winter|das Ökosystem Wald|Bakterien|Insekten|Fische und Kiemen|der Regenwurm
business: Marketing für kleine Firmen|ein Businessplan|Kundengewinnung|eine Firma gründen|Gewinnmarge|Umsatz steigern|Mitarbeiterführung|ein Angebot schreiben|Rechnung an Kunden|Werbung für meinen Laden|Aktien und Fonds|Kreditkarte gesperrt|Projektmanagement|Vorstellungsgespräch im Vertrieb
chemistry: das Periodensystem|Säuren und Basen|der pH-Wert|chemische Bindung|Redoxreaktion|Katalysator|Molmasse|Salzsäure|Oxidation|Alkohole und Ester|Isotope|Elektrolyse|Rost
computer science: ein Python Skript|Fehler im Code|Datenbank Abfrage|Linux Befehle|Git Konflikt|Algorithmus|Betriebssystem|Passwort vergessen am Laptop|eine Webseite programmieren|Docker Container|Schleifen in Java|maschinelles Lernen|Computervirus
economics: Inflation|Arbeitslosigkeit|Angebot und Nachfrage|Leitzins|Bruttoinlandsprodukt|Staatsschulden|Zölle|Mindestlohn und Beschäftigung|Konjunktur|Monopol|Wechselkurse|Wirtschaftskrise
engineering: Elektromotor|Getriebe|Stahlbeton|Brückenbau|Wärmepumpe|Transformator|Widerstand in der Schaltung|Dieselmotor|Schweißen|Statik einer Wand|Regelungstechnik|Windkraftanlage|Leiterplatte löten
health: Kopfschmerzen|Rückenschmerzen|Bluthochdruck|Husten und Fieber|Diabetes|gesunde Ernährung|Nebenwirkungen von Ibuprofen|Halsschmerzen|Impfung|Durchfall|Schwangerschaft|Zahnschmerzen|Allergie|Vitaminmangel
history: der Zweite Weltkrieg|der Dreißigjährige Krieg|das Römische Reich|die Berliner Mauer|Karl der Große|die Französische Revolution|Bismarck|das Mittelalter|die DDR|die Weimarer Republik|Napoleon|die Pharaonen
law: Kündigungsschutz|Mietvertrag|Mieterhöhung|Widerrufsrecht|Scheidung und Unterhalt|Testament|Schadensersatz|Anzeige bei der Polizei|Vertragsbruch|Datenschutz DSGVO|Urheberrecht|Bußgeld Einspruch|Sorgerecht
math: Bruchrechnen|Prozentrechnung|quadratische Gleichungen|Ableitung von x^2|Integralrechnung|Satz des Pythagoras|Wahrscheinlichkeit|Fläche eines Kreises|Vektoren|Primzahlen|3 mal 7|Wurzel aus 81|Dreisatz
other: ein Rezept für Pfannkuchen|ein Gedicht über den Herbst|Urlaub in Italien|das Wetter morgen|ein Witz|Hallo|Guten Morgen|ein Geburtstagsgruß|ein guter Film|Bundesliga Ergebnisse|Hauptstadt von Spanien|Geschenkideen|Übersetzung ins Englische|Kuchen backen|mein Hund bellt|Bundestagswahl|danke
philosophy: der Sinn des Lebens|Kants kategorischer Imperativ|freier Wille|Platons Höhlengleichnis|Ethik und Moral|Existenzialismus|Nietzsche|Gottesbeweise|Buddhismus|Logik und Fehlschluss|Stoizismus|Erkenntnistheorie
physics: Schwerkraft|Lichtgeschwindigkeit|schwarze Löcher|Quantenmechanik|Energieerhaltung|Reibung|elektrisches Feld|Relativitätstheorie|Schallwellen|der Urknall|Beschleunigung|Magnetismus|Planeten
psychology: Angststörung|Depression|Stress und Burnout|Prokrastination|Selbstwertgefühl|Liebeskummer|Streit in der Beziehung|Träume deuten|Trauer|Konditionierung|Einsamkeit|Panikattacken|Persönlichkeit""",
    "fr": """
biology: la photosynthèse|la cellule|l'évolution des espèces|l'ADN|les gènes|les abeilles|la reproduction des plantes|l'écosystème|les bactéries|les oiseaux migrateurs|la chaîne alimentaire|les champignons|les mammifères marins
business: un plan marketing|créer une entreprise|trouver des clients|la marge bénéficiaire|une étude de marché|un business plan|manager une équipe|une facture client|investir en bourse|ma carte bancaire refusée|un entretien d'embauche|un communiqué de presse|la fidélisation client
chemistry: le tableau périodique|les acides et les bases|le pH|une réaction chimique|l'oxydation|les liaisons covalentes|la masse molaire|un catalyseur|les isotopes|l'électrolyse|les alcools|l'acide chlorhydrique
computer science: un script python|une erreur dans mon code|une requête SQL|un algorithme de tri|le système d'exploitation linux|git et les branches|un site web en html|une boucle en java|un conteneur docker|l'apprentissage automatique|un mot de passe oublié sur mon pc|une base de données|le logiciel libre
economics: l'inflation|le chômage|l'offre et la demande|le PIB|les taux d'intérêt|la dette publique|les droits de douane|le pouvoir d'achat|la croissance économique|un monopole|la banque centrale|la crise économique
engineering: un moteur électrique|le béton armé|un pont suspendu|une pompe à chaleur|un transformateur|un circuit électronique|une boîte de vitesses|la soudure|une turbine|une éolienne|la résistance des matériaux|un amplificateur
health: un mal de tête|la fièvre|le mal de dos|le diabète|l'hypertension|une toux|les effets secondaires du paracétamol|une alimentation équilibrée|la grossesse|un vaccin|les allergies|l'anémie|une entorse
history: la Révolution française|Napoléon|la Première Guerre mondiale|l'Empire romain|Louis XIV|le Moyen Âge|la guerre froide|la Résistance|Jeanne d'Arc|les croisades|la guerre d'Algérie|Jules César
law: un contrat de travail|le licenciement abusif|le bail de location|un divorce|la garde des enfants|une plainte au tribunal|le droit d'auteur|un testament|le droit de rétractation|le RGPD|une amende contestée|la succession
math: les fractions|une équation du second degré|la dérivée d'une fonction|une intégrale|le théorème de Pythagore|les pourcentages|les probabilités|l'aire d'un triangle|les nombres premiers|combien font 8 fois 7|la racine carrée de 49|les matrices
other: une recette de crêpes|un poème sur la mer|un voyage à Rome|la météo demain|une blague|bonjour|merci beaucoup|un bon film|une idée de cadeau|la capitale du Canada|traduire en anglais|une carte d'anniversaire|le match de foot hier|mon chat|un gâteau au chocolat|les élections|salut ça va
philosophy: le sens de la vie|le libre arbitre|la morale de Kant|le mythe de la caverne|l'existentialisme de Sartre|la conscience|le bonheur selon Épicure|la vérité|l'existence de Dieu|le stoïcisme|Descartes et le doute|l'éthique
physics: la gravité|la vitesse de la lumière|un trou noir|la mécanique quantique|l'énergie cinétique|le champ magnétique|la relativité|le big bang|les ondes sonores|la pression d'un fluide|les planètes|l'accélération
psychology: l'anxiété|la dépression|le stress|la procrastination|la confiance en soi|une rupture amoureuse|la solitude|les crises de panique|la jalousie|le deuil|la mémoire et l'oubli|le conditionnement|une dispute avec mon copain""",
    "es": """
biology: la fotosíntesis|la célula|la evolución|el ADN|los genes|las abejas|la cadena alimenticia|los ecosistemas|las bacterias|la reproducción de las plantas|los mamíferos|los hongos|la mitosis
business: un plan de negocios|marketing digital|conseguir clientes|abrir una empresa|margen de ganancia|una estrategia de ventas|liderar un equipo|una factura|invertir en la bolsa|mi tarjeta bloqueada|una entrevista de trabajo|estudio de mercado|un correo a un cliente
chemistry: la tabla periódica|ácidos y bases|el pH|una reacción química|la oxidación|enlace covalente|masa molar|un catalizador|los isótopos|la electrólisis|los alcanos|ácido clorhídrico
computer science: un script en python|un error en mi código|una consulta SQL|algoritmo de ordenamiento|sistema operativo linux|git y ramas|una página web|un bucle en java|contenedor docker|aprendizaje automático|software libre|una base de datos|virus en mi computadora
economics: la inflación|el desempleo|oferta y demanda|el PIB|las tasas de interés|la deuda pública|los aranceles|el salario mínimo|crecimiento económico|un monopolio|el banco central|la crisis económica
engineering: un motor eléctrico|hormigón armado|un puente colgante|una bomba de agua|un transformador|un circuito electrónico|caja de cambios|la soldadura|una turbina|energía eólica|resistencia de materiales|un inversor solar
health: dolor de cabeza|fiebre|dolor de espalda|la diabetes|presión alta|tos seca|efectos secundarios del ibuprofeno|dieta saludable|el embarazo|una vacuna|alergias|dolor de garganta|gastritis
history: la Segunda Guerra Mundial|la Revolución francesa|el Imperio romano|los aztecas|la guerra civil española|Simón Bolívar|la conquista de América|la Edad Media|Cristóbal Colón|la guerra fría|Julio César|la independencia de México
law: contrato de trabajo|despido injustificado|contrato de alquiler|divorcio|custodia de los hijos|una demanda judicial|derechos de autor|testamento|pensión alimenticia|desalojo|una multa de tráfico|herencia
math: las fracciones|ecuación de segundo grado|la derivada|la integral|teorema de Pitágoras|porcentajes|probabilidad|área de un círculo|números primos|cuánto es 6 por 8|raíz cuadrada de 64|matrices
other: receta de tortilla|un poema de amor|viaje a París|el clima mañana|un chiste|hola|buenos días|una película buena|ideas de regalo|capital de Perú|traducir al inglés|tarjeta de cumpleaños|el partido de ayer|mi perro|pastel de chocolate|las elecciones|gracias
philosophy: el sentido de la vida|el libre albedrío|la ética de Kant|la caverna de Platón|el existencialismo|la moral|la verdad|la existencia de Dios|el estoicismo|Nietzsche|el alma|falacias lógicas
physics: la gravedad|la velocidad de la luz|agujeros negros|mecánica cuántica|energía cinética|campo magnético|la relatividad|el big bang|ondas sonoras|leyes de Newton|los planetas|la aceleración
psychology: la ansiedad|la depresión|el estrés|la procrastinación|la autoestima|una ruptura amorosa|la soledad|ataques de pánico|los celos|el duelo|la memoria|condicionamiento clásico|discusiones con mi pareja""",
    "pt": """
biology: a fotossíntese|a célula|a evolução|o DNA|as abelhas|a cadeia alimentar|as bactérias|os mamíferos
business: um plano de negócios|marketing digital|conseguir clientes|abrir uma empresa|margem de lucro|investir em ações|meu cartão recusado|entrevista de emprego
chemistry: a tabela periódica|ácidos e bases|reação química|oxidação|ligação covalente|massa molar|catalisador|isótopos
computer science: um script em python|erro no meu código|consulta SQL|sistema operacional linux|git|uma página web|software livre|banco de dados
economics: a inflação|o desemprego|oferta e demanda|o PIB|taxa de juros|a dívida pública|salário mínimo|câmbio
engineering: motor elétrico|concreto armado|ponte|bomba de água|transformador|circuito eletrônico|solda|turbina
health: dor de cabeça|febre|dor nas costas|diabetes|pressão alta|tosse|dieta saudável|gravidez|vacina
history: a Segunda Guerra Mundial|a Revolução Francesa|o Império Romano|a independência do Brasil|a escravidão no Brasil|a ditadura militar|Dom Pedro II|a Guerra Fria
law: contrato de trabalho|demissão sem justa causa|contrato de aluguel|divórcio|guarda dos filhos|processo judicial|direitos autorais|testamento|pensão alimentícia
math: frações|equação do segundo grau|derivada|integral|teorema de Pitágoras|porcentagem|probabilidade|quanto é 9 vezes 6|raiz quadrada de 36
other: receita de bolo|um poema|viagem a Lisboa|previsão do tempo|uma piada|oi|bom dia|um filme bom|capital da Argentina|traduzir para inglês|o jogo de ontem|meu gato|obrigado
philosophy: o sentido da vida|livre arbítrio|a ética de Kant|o mito da caverna|existencialismo|a moral|a existência de Deus|estoicismo
physics: a gravidade|velocidade da luz|buracos negros|mecânica quântica|energia cinética|campo magnético|relatividade|leis de Newton
psychology: ansiedade|depressão|estresse|procrastinação|autoestima|fim de namoro|solidão|ataque de pânico|ciúmes|luto""",
    "it": """
biology: la fotosintesi|la cellula|l'evoluzione|il DNA|le api|la catena alimentare|i batteri|i mammiferi
business: un piano aziendale|marketing sui social|trovare clienti|aprire un'azienda|il fatturato|investire in borsa|la carta bloccata|colloquio di lavoro
chemistry: la tavola periodica|acidi e basi|reazione chimica|ossidazione|legame covalente|massa molare|catalizzatore|isotopi
computer science: uno script python|errore nel codice|query SQL|sistema operativo linux|git|un sito web|software libero|database
economics: l'inflazione|la disoccupazione|domanda e offerta|il PIL|i tassi di interesse|il debito pubblico|i dazi|la crescita economica
engineering: motore elettrico|cemento armato|un ponte sospeso|pompa di calore|trasformatore|circuito elettronico|saldatura|turbina
health: mal di testa|febbre|mal di schiena|diabete|pressione alta|tosse|dieta sana|gravidanza|vaccino
history: la seconda guerra mondiale|la rivoluzione francese|l'impero romano|Garibaldi|il Rinascimento|il fascismo|Giulio Cesare|la guerra fredda
law: contratto di lavoro|licenziamento|contratto di affitto|divorzio|affidamento dei figli|causa in tribunale|diritto d'autore|testamento|eredità
math: frazioni|equazione di secondo grado|derivata|integrale|teorema di Pitagora|percentuali|probabilità|quanto fa 7 per 8|radice quadrata di 25
other: ricetta della carbonara|una poesia|viaggio a Parigi|il meteo domani|una barzelletta|ciao|buongiorno|un bel film|capitale della Grecia|tradurre in inglese|la partita di ieri|il mio cane|grazie
philosophy: il senso della vita|il libero arbitrio|l'etica di Kant|il mito della caverna|esistenzialismo|la morale|l'esistenza di Dio|stoicismo
physics: la gravità|la velocità della luce|i buchi neri|meccanica quantistica|energia cinetica|campo magnetico|la relatività|leggi di Newton
psychology: ansia|depressione|stress|procrastinazione|autostima|fine di una relazione|solitudine|attacchi di panico|gelosia|lutto""",
    "nl": """
biology: fotosynthese|de cel|evolutie|DNA|bijen|de voedselketen|bacteriën|zoogdieren
business: een ondernemingsplan|marketing voor mijn winkel|klanten werven|een bedrijf starten|winstmarge|beleggen in aandelen|mijn pas geblokkeerd|sollicitatiegesprek
chemistry: het periodiek systeem|zuren en basen|chemische reactie|oxidatie|covalente binding|molaire massa|katalysator|isotopen
computer science: een python script|fout in mijn code|SQL query|besturingssysteem linux|git|een website bouwen|open source software|database
economics: inflatie|werkloosheid|vraag en aanbod|het bbp|rente van de centrale bank|staatsschuld|invoerrechten|economische groei
engineering: elektromotor|gewapend beton|hangbrug|warmtepomp|transformator|elektronische schakeling|lassen|windturbine
health: hoofdpijn|koorts|rugpijn|diabetes|hoge bloeddruk|hoesten|gezond dieet|zwangerschap|vaccinatie
history: de Tweede Wereldoorlog|de Franse Revolutie|het Romeinse Rijk|de VOC|de Gouden Eeuw|Willem van Oranje|de Koude Oorlog|de middeleeuwen
law: arbeidscontract|ontslag|huurcontract|echtscheiding|voogdij|rechtszaak|auteursrecht|testament|erfenis
math: breuken|vergelijking oplossen|afgeleide|integraal|stelling van Pythagoras|procenten|kansrekening|hoeveel is 6 keer 9|wortel van 49
other: recept voor pannenkoeken|een gedicht|reis naar Londen|het weer morgen|een mop|hallo|goedemorgen|een goede film|hoofdstad van Noorwegen|vertalen naar Engels|de wedstrijd van gisteren|mijn hond|bedankt
philosophy: de zin van het leven|vrije wil|de ethiek van Kant|de grot van Plato|existentialisme|moraal|het bestaan van God|stoïcisme
physics: zwaartekracht|lichtsnelheid|zwarte gaten|kwantummechanica|bewegingsenergie|magnetisch veld|relativiteit|wetten van Newton
psychology: angst|depressie|stress|uitstelgedrag|zelfvertrouwen|liefdesverdriet|eenzaamheid|paniekaanval|jaloezie|rouw""",
    "pl": """
biology: fotosynteza|komórka|ewolucja|DNA|pszczoły|łańcuch pokarmowy|bakterie|ssaki
business: biznesplan|marketing w internecie|pozyskiwanie klientów|zakładanie firmy|marża zysku|inwestowanie w akcje|zablokowana karta|rozmowa kwalifikacyjna
chemistry: układ okresowy|kwasy i zasady|reakcja chemiczna|utlenianie|wiązanie kowalencyjne|masa molowa|katalizator|izotopy
computer science: skrypt w pythonie|błąd w kodzie|zapytanie SQL|system operacyjny linux|git|strona internetowa|wolne oprogramowanie|baza danych
economics: inflacja|bezrobocie|popyt i podaż|PKB|stopy procentowe|dług publiczny|cła|wzrost gospodarczy
engineering: silnik elektryczny|żelbet|most wiszący|pompa ciepła|transformator|układ elektroniczny|spawanie|turbina
health: ból głowy|gorączka|ból pleców|cukrzyca|nadciśnienie|kaszel|zdrowa dieta|ciąża|szczepienie
history: druga wojna światowa|rewolucja francuska|cesarstwo rzymskie|rozbiory Polski|powstanie warszawskie|zimna wojna|średniowiecze|Napoleon
law: umowa o pracę|zwolnienie z pracy|umowa najmu|rozwód|opieka nad dzieckiem|pozew do sądu|prawo autorskie|testament|spadek
math: ułamki|równanie kwadratowe|pochodna|całka|twierdzenie Pitagorasa|procenty|prawdopodobieństwo|ile to jest 7 razy 6|pierwiastek z 81
other: przepis na pierogi|wiersz|wycieczka do Rzymu|pogoda jutro|żart|cześć|dzień dobry|dobry film|stolica Czech|przetłumacz na angielski|wczorajszy mecz|mój pies|dziękuję
philosophy: sens życia|wolna wola|etyka Kanta|jaskinia Platona|egzystencjalizm|moralność|istnienie Boga|stoicyzm
physics: grawitacja|prędkość światła|czarne dziury|mechanika kwantowa|energia kinetyczna|pole magnetyczne|teoria względności|prawa Newtona
psychology: lęk|depresja|stres|prokrastynacja|poczucie własnej wartości|rozstanie|samotność|atak paniki|zazdrość|żałoba""",
    "ru": """
biology: фотосинтез|клетка|эволюция|ДНК|пчёлы|пищевая цепь|бактерии|млекопитающие|деление клетки
business: бизнес-план|маркетинг|привлечение клиентов|открыть свой бизнес|прибыль компании|инвестиции в акции|карта заблокирована|собеседование на работу|письмо клиенту
chemistry: таблица Менделеева|кислоты и основания|химическая реакция|окисление|ковалентная связь|молярная масса|катализатор|изотопы
computer science: скрипт на python|ошибка в коде|запрос SQL|операционная система linux|git|сайт на html|открытое программное обеспечение|база данных|алгоритм сортировки
economics: инфляция|безработица|спрос и предложение|ВВП|ключевая ставка|государственный долг|пошлины|экономический рост
engineering: электродвигатель|железобетон|подвесной мост|тепловой насос|трансформатор|электронная схема|сварка|турбина
health: головная боль|температура у ребёнка|боль в спине|диабет|высокое давление|кашель|здоровое питание|беременность|прививка
history: Вторая мировая война|Французская революция|Римская империя|Пётр Первый|Октябрьская революция|холодная война|Иван Грозный|Киевская Русь
law: трудовой договор|увольнение|договор аренды|развод|алименты|иск в суд|авторское право|завещание|наследство
math: дроби|квадратное уравнение|производная|интеграл|теорема Пифагора|проценты|вероятность|сколько будет 7 умножить на 8|корень из 64
other: рецепт борща|стихотворение|поездка в Париж|погода завтра|анекдот|привет|доброе утро|хороший фильм|столица Австралии|перевод на английский|вчерашний матч|моя кошка|спасибо
philosophy: смысл жизни|свобода воли|этика Канта|миф о пещере|экзистенциализм|мораль|существование Бога|стоицизм
physics: гравитация|скорость света|чёрные дыры|квантовая механика|кинетическая энергия|магнитное поле|теория относительности|законы Ньютона
psychology: тревога|депрессия|стресс|прокрастинация|самооценка|расставание|одиночество|паническая атака|ревность|горе""",
    "tr": """
biology: fotosentez|hücre|evrim|DNA|arılar|besin zinciri|bakteriler|memeliler
business: iş planı|pazarlama|müşteri bulma|şirket kurma|kâr marjı|hisse senedi yatırımı|kartım bloke|iş görüşmesi
chemistry: periyodik tablo|asitler ve bazlar|kimyasal tepkime|oksitlenme|kovalent bağ|mol kütlesi|katalizör|izotop
computer science: python kodu|kodumdaki hata|SQL sorgusu|linux işletim sistemi|git|web sitesi|açık kaynak yazılım|veritabanı
economics: enflasyon|işsizlik|arz ve talep|gayri safi yurtiçi hasıla|faiz oranları|kamu borcu|gümrük vergisi|ekonomik büyüme
engineering: elektrik motoru|betonarme|asma köprü|ısı pompası|trafo|elektronik devre|kaynak yapmak|türbin
health: baş ağrısı|ateş|bel ağrısı|şeker hastalığı|yüksek tansiyon|öksürük|sağlıklı beslenme|hamilelik|aşı
history: İkinci Dünya Savaşı|Fransız Devrimi|Roma İmparatorluğu|Osmanlı Devleti|Fatih Sultan Mehmet|Kurtuluş Savaşı|Atatürk|Soğuk Savaş
law: iş sözleşmesi|işten çıkarılma|kira sözleşmesi|boşanma|velayet|dava açmak|telif hakkı|vasiyet|miras
math: kesirler|ikinci dereceden denklem|türev|integral|Pisagor teoremi|yüzde hesabı|olasılık|7 kere 8|karekök 49
other: börek tarifi|şiir|Roma gezisi|yarın hava|fıkra|merhaba|günaydın|güzel film|Fransa'nın başkenti|İngilizceye çeviri|dünkü maç|köpeğim|teşekkürler
philosophy: hayatın anlamı|özgür irade|Kant etiği|Platon'un mağarası|varoluşçuluk|ahlak|Tanrı'nın varlığı|stoacılık
physics: yer çekimi|ışık hızı|kara delikler|kuantum mekaniği|kinetik enerji|manyetik alan|görelilik|Newton yasaları
psychology: kaygı|depresyon|stres|erteleme|özgüven|ayrılık acısı|yalnızlık|panik atak|kıskançlık|yas""",
    "zh": """
biology: 光合作用|细胞|进化论|基因|蜜蜂|食物链|细菌|哺乳动物|细胞分裂|动物冬眠
business: 商业计划书|市场营销|开公司|客户服务|利润率|股票投资|信用卡被冻结|面试技巧|销售策略|品牌推广
chemistry: 元素周期表|酸碱中和|化学反应|氧化还原|共价键|摩尔质量|催化剂|同位素|电解水|铁生锈
computer science: Python代码|程序报错|SQL查询|Linux操作系统|Git合并冲突|网页开发|开源软件|数据库|排序算法|机器学习
economics: 通货膨胀|失业率|供求关系|国内生产总值|利率上升|国债|关税|经济增长|货币政策|垄断
engineering: 电动机|钢筋混凝土|悬索桥|热泵|变压器|电路设计|焊接|涡轮机|齿轮箱|水坝
health: 头痛|发烧|腰疼|糖尿病|高血压|咳嗽|健康饮食|怀孕|疫苗|失眠吃什么药
history: 第二次世界大战|法国大革命|罗马帝国|秦始皇|唐朝|鸦片战争|辛亥革命|三国时期|冷战|丝绸之路
law: 劳动合同|被公司辞退|租房合同|离婚|子女抚养权|起诉|著作权|遗嘱|遗产继承|交通罚款
math: 分数|一元二次方程|导数|积分|勾股定理|百分比|概率|七乘八等于多少|圆的面积|矩阵
other: 红烧肉的做法|一首诗|去日本旅游|明天天气|笑话|你好|早上好|好看的电影|法国的首都|翻译成英文|昨天的球赛|我的猫|谢谢
philosophy: 人生的意义|自由意志|康德的伦理学|柏拉图的洞穴|存在主义|道德|上帝是否存在|儒家思想|老子的道|逻辑谬误
physics: 万有引力|光速|黑洞|量子力学|动能|磁场|相对论|牛顿定律|宇宙大爆炸|声波
psychology: 焦虑|抑郁|压力太大|拖延症|自信心|失恋|孤独|恐慌发作|嫉妒|记忆力""",
    "ja": """
biology: 光合成|細胞|進化|遺伝子|ミツバチ|食物連鎖|細菌|哺乳類|細胞分裂|渡り鳥
business: 事業計画|マーケティング|会社設立|顧客対応|利益率|株式投資|クレジットカードが使えない|面接|営業メール|ブランド戦略
chemistry: 周期表|酸と塩基|化学反応|酸化|共有結合|モル質量|触媒|同位体|電気分解|錆び
computer science: Pythonのコード|プログラムのエラー|SQLクエリ|Linuxのコマンド|Gitの使い方|ウェブサイト作成|オープンソース|データベース|アルゴリズム|機械学習
economics: インフレ|失業率|需要と供給|GDP|金利|国債|関税|経済成長|金融政策|円安
engineering: 電動モーター|鉄筋コンクリート|吊り橋|ヒートポンプ|変圧器|電子回路|溶接|タービン|歯車|ダム
health: 頭痛|発熱|腰痛|糖尿病|高血圧|咳|健康的な食事|妊娠|ワクチン|花粉症
history: 第二次世界大戦|フランス革命|ローマ帝国|江戸時代|織田信長|戦国時代|冷戦|ナポレオン|縄文時代|産業革命
law: 労働契約|解雇|賃貸契約|離婚|親権|訴訟|著作権|遺言|相続|損害賠償
math: 分数|二次方程式|微分|積分|三平方の定理|パーセント|確率|七かける八|円の面積|行列
other: カレーの作り方|俳句|京都旅行|明日の天気|冗談|こんにちは|おはよう|おすすめの映画|フランスの首都|英語に翻訳|昨日の試合|うちの猫|ありがとう
philosophy: 人生の意味|自由意志|カントの倫理学|洞窟の比喩|実存主義|道徳|神の存在|禅|儒教|論理的誤謬
physics: 重力|光の速さ|ブラックホール|量子力学|運動エネルギー|磁場|相対性理論|ニュートンの法則|ビッグバン|音波
psychology: 不安|うつ|ストレス|先延ばし|自己肯定感|失恋|孤独|パニック発作|嫉妬|記憶""",
    "ar": """
biology: التمثيل الضوئي|الخلية|التطور|الحمض النووي|النحل|السلسلة الغذائية|البكتيريا|الثدييات
business: خطة عمل|التسويق|جذب العملاء|تأسيس شركة|هامش الربح|الاستثمار في الأسهم|بطاقتي البنكية موقوفة|مقابلة عمل
chemistry: الجدول الدوري|الأحماض والقواعد|التفاعل الكيميائي|الأكسدة|الرابطة التساهمية|الكتلة المولية|العامل الحفاز|النظائر
computer science: كود بايثون|خطأ في البرنامج|استعلام SQL|نظام تشغيل لينكس|موقع ويب|البرمجيات مفتوحة المصدر|قاعدة بيانات|خوارزمية
economics: التضخم|البطالة|العرض والطلب|الناتج المحلي|أسعار الفائدة|الدين العام|الرسوم الجمركية|النمو الاقتصادي
engineering: المحرك الكهربائي|الخرسانة المسلحة|الجسر المعلق|المضخة الحرارية|المحول الكهربائي|الدائرة الإلكترونية|اللحام|التوربين
health: الصداع|الحمى|ألم الظهر|السكري|ارتفاع ضغط الدم|السعال|الغذاء الصحي|الحمل|اللقاح
history: الحرب العالمية الثانية|الثورة الفرنسية|الإمبراطورية الرومانية|الدولة العثمانية|صلاح الدين|الأندلس|الفراعنة|الحرب الباردة
law: عقد العمل|الفصل التعسفي|عقد الإيجار|الطلاق|حضانة الأطفال|رفع دعوى|حقوق المؤلف|الوصية|الميراث
math: الكسور|معادلة من الدرجة الثانية|المشتقة|التكامل|نظرية فيثاغورس|النسبة المئوية|الاحتمالات|كم يساوي 7 ضرب 8|الجذر التربيعي
other: وصفة الكبسة|قصيدة|رحلة إلى إسطنبول|الطقس غدا|نكتة|مرحبا|صباح الخير|فيلم جيد|عاصمة فرنسا|ترجمة إلى الإنجليزية|مباراة أمس|قطتي|شكرا
philosophy: معنى الحياة|الإرادة الحرة|أخلاق كانط|كهف أفلاطون|الوجودية|الأخلاق|وجود الله|الرواقية
physics: الجاذبية|سرعة الضوء|الثقوب السوداء|ميكانيكا الكم|الطاقة الحركية|المجال المغناطيسي|النسبية|قوانين نيوتن
psychology: القلق|الاكتئاب|التوتر|التسويف|الثقة بالنفس|الانفصال العاطفي|الوحدة|نوبة الهلع|الغيرة|الحزن""",
    "hi": """
biology: प्रकाश संश्लेषण|कोशिका|विकासवाद|डीएनए|मधुमक्खी|खाद्य श्रृंखला|जीवाणु|स्तनधारी
business: व्यापार योजना|मार्केटिंग|ग्राहक कैसे बढ़ाएं|कंपनी शुरू करना|मुनाफा|शेयर बाजार में निवेश|मेरा कार्ड ब्लॉक|नौकरी का इंटरव्यू
chemistry: आवर्त सारणी|अम्ल और क्षार|रासायनिक अभिक्रिया|ऑक्सीकरण|सहसंयोजक बंध|मोलर द्रव्यमान|उत्प्रेरक|समस्थानिक
computer science: पायथन कोड|कोड में एरर|SQL क्वेरी|लिनक्स ऑपरेटिंग सिस्टम|वेबसाइट बनाना|ओपन सोर्स सॉफ्टवेयर|डेटाबेस|एल्गोरिदम
economics: मुद्रास्फीति|बेरोजगारी|मांग और आपूर्ति|जीडीपी|ब्याज दर|सरकारी कर्ज|आयात शुल्क|आर्थिक विकास
engineering: विद्युत मोटर|कंक्रीट|झूला पुल|पंप|ट्रांसफार्मर|इलेक्ट्रॉनिक सर्किट|वेल्डिंग|टरबाइन
health: सिरदर्द|बुखार|कमर दर्द|मधुमेह|उच्च रक्तचाप|खांसी|स्वस्थ आहार|गर्भावस्था|टीका
history: दूसरा विश्व युद्ध|फ्रांसीसी क्रांति|रोमन साम्राज्य|मुगल साम्राज्य|अशोक|भारत का स्वतंत्रता संग्राम|गांधी का नमक सत्याग्रह|शीत युद्ध
law: नौकरी का अनुबंध|नौकरी से निकाला|किराया समझौता|तलाक|बच्चे की कस्टडी|मुकदमा|कॉपीराइट|वसीयत|संपत्ति का अधिकार
math: भिन्न|द्विघात समीकरण|अवकलन|समाकलन|पाइथागोरस प्रमेय|प्रतिशत|प्रायिकता|7 गुणा 8|वर्गमूल
other: पनीर की रेसिपी|कविता|दिल्ली यात्रा|कल का मौसम|चुटकुला|नमस्ते|सुप्रभात|अच्छी फिल्म|फ्रांस की राजधानी|अंग्रेजी में अनुवाद|कल का मैच|मेरा कुत्ता|धन्यवाद
philosophy: जीवन का अर्थ|स्वतंत्र इच्छा|कांट की नैतिकता|प्लेटो की गुफा|अस्तित्ववाद|नैतिकता|ईश्वर का अस्तित्व|बौद्ध दर्शन
physics: गुरुत्वाकर्षण|प्रकाश की गति|ब्लैक होल|क्वांटम यांत्रिकी|गतिज ऊर्जा|चुंबकीय क्षेत्र|सापेक्षता|न्यूटन के नियम
psychology: चिंता|अवसाद|तनाव|टालमटोल|आत्मविश्वास|ब्रेकअप|अकेलापन|पैनिक अटैक|ईर्ष्या|शोक""",
}


def _read(block: str) -> dict[str, tuple[str, ...]]:
    lines = (line.split(": ", 1) for line in block.strip().splitlines())
    return {domain: words(topics) for domain, topics in lines}


TOPICS = {lang: _read(block) for lang, block in _LANGS.items()}
