"""What may differ between two Western European questions that want the same answer.

The form is that of :mod:`wayside.vocab.near_miss_words`. Written without native reviewers, so kept
to politeness, the ways to begin a question, articles that carry no case (German "der" and "den"
say who bit whom, so they stay), and a few turns of phrase.
"""

from typing import Final

TABLES: Final = r"""
## de
telling:
    der die das ein eine ist sind war wie was wer wo wann warum ich du man und oder nicht von
    für mit auf den dem kann muss wird zu im
empty:
    die das ein eine
saying:
    sagt heißt bedeutet übersetze übersetzen übersetzung wort schreibt ausgesprochen lied film
frames:
  ~ _(?:bitte|mal_eben)_ => _
  ~ ^_(?:hallo|hi|hey|guten_(?:tag|morgen|abend)|moin|servus)_
      (?=[^_]+_[^_]+_[^_]+_) => _
  ~ _(?:danke|vielen_dank|danke_schön|danke_im_voraus)_$ => _
  ^_(?:kannst_du|können_sie|könntest_du|könnten_sie)_(?:mir_)?(?:bitte_)?(?:sagen
      |erklären|zeigen)_ => _
  ^_(?:sag|sage|sagen_sie|zeig|zeige|nenn|nenne|nennen_sie)_(?:mir_)? => _
  ^_(?:ich_möchte|ich_will|ich_würde_gern(?:e)?)_wissen_ => _
  ^_(?:weißt_du|wissen_sie)_ => _
  ^_(?:was|welche[rs]?)_(?:ist|sind)_(?=der_|die_|das_) => _
  ^_wie_(?:heißt|heißen|lautet|lauten)_(?=der_|die_|das_) => _
  ^_wie_(?:kann|könnte|soll)_(?:ich|man)_ => _howto_
  ^_wie_(?=\w+e_ich_) => _howto_
  ^_wann_(?:wurde|ist|war)_(.+?)_geboren(?:_worden)?_$ => _geburtsdatum_\1_
  ^_(?:was_ist_)?(?:das_)?(?:geburtsdatum|geburtstag)_(?:von_)? => _geburtsdatum_
  ^_(?:wie_(?:ist|wird)_)?(?:das_)?wetter_(?:in_)? => _wetter_
  ^_(?:was_sind|wie_viel_sind|wieviel_sind|berechne|wie_viel_ist|was_ist)_(?=\d)
      => _berechne_
  _wie_hoch_ist_(?:der_|die_|das_)? => _höhe_
  ^_(?:die_)?höhe_(?:von_|der_|des_|vom_)?(?:der_|dem_)? => _höhe_
  ^_wie_viele_(?:menschen|einwohner)_(?:leben|wohnen)_in_ => _einwohnerzahl_von_
  _(\d+)_%_ => _\1_prozent_

## fr
telling:
    le la les un une des est sont était comment que qui quoi quel quelle où quand pourquoi je tu
    on et ou pas de du pour avec dans peut faut au aux ce sur
empty:
    le la les un une
saying:
    dit signifie traduis traduire traduction mot écrit prononce chanson film livre
frames:
  ~ _(?:svp|stp)_ => _
  ~ ^_(?:bonjour|salut|bonsoir|coucou|hello)_
      (?=[^_]+_[^_]+_[^_]+_) => _
  ~ _(?:merci|merci_beaucoup|merci_d'avance|s'il_(?:te|vous)_plaît|s'il_(?:te
      |vous)_plait)_$ => _
  ~ _s'il_(?:te|vous)_pla[iî]t_ => _
  ^_(?:peux-tu|pouvez-vous|pourriez-vous|pourrais-tu|tu_peux|vous_pouvez)_(?:me_
      |m')?(?:dire|expliquer|donner|montrer)_ => _
  ^_(?:dis|dites|donne|donnez|montre|montrez)-(?:moi|nous)_ => _
  ^_(?:je_veux|je_voudrais|j'aimerais)_savoir_ => _
  ^_quel(?:le)?s?_(?:est|sont)_ => _
  ^_qu'est-ce_que_c'est_qu'? => _définition_
  ^_(?:comment_(?:est-ce_que_je_peux|est-ce_qu'on_peut|puis-je|peut-on|je_peux
      |on_peut))_ => _comment_
  _comment_(?:faire_pour|fait-on_pour|je_fais_pour|on_fait_pour)_ => _comment_
  ^_quand_(?:est|était|fut)_née?_(.+?)_$ => _date_de_naissance_de_\1_
  ^_(?:la_)?date_de_naissance_(?:de_|d') => _date_de_naissance_de_
  ^_(?:quel_temps_(?:fait-il|fait_il|il_fait)|météo|la_météo|le_temps)_(?:à_|a_
      |de_)? => _météo_
  _(?:mets|lance|règle|programme|démarre)_(?:moi_)?un_minuteur_ => _minuteur_
  _pour_cent_ => _%_

## es
telling:
    el la los las un una es son era cómo qué quién cuál dónde cuándo por para con y o no se de
    del en mi puedo puede hay como que
empty:
    el la los las un una
saying:
    dice dicen significa traduce traducir palabra escribe pronuncia canción película libro
frames:
  ~ ^_(?:hola|buenos_días|buenas_tardes|buenas_noches|buenas|oye)_
      (?=[^_]+_[^_]+_[^_]+_) => _
  ~ _(?:gracias|muchas_gracias|por_favor)_$ => _
  ~ _por_favor_ => _
  ^_(?:me_)?(?:puedes|podrías|puede|podría)(?:_decirme|_explicarme|_darme|_decir
      |_explicar|_dar)?_(?=qué_|cuál_|cómo_|cuándo_|dónde_|quién_) => _
  ^_(?:dime|dígame|dame|deme|muéstrame)_ => _
  ^_(?:quiero|quisiera|me_gustaría|necesito)_saber_ => _
  ^_(?:cuál|cuáles|qué)_(?:es|son)_ => _
  ^_(?:cómo|como)_(?:puedo|puede_uno|se_puede|podría|hago_para|se_hace_para)_ => _cómo_
  ^_(?:cuándo|cuando|en_qué_fecha)_nació_ => _fecha_de_nacimiento_de_
  ^_(?:la_)?fecha_de_nacimiento_de_ => _fecha_de_nacimiento_de_
  ^_(?:qué_tiempo_hace|cómo_está_el_tiempo|qué_tiempo_hay|el_tiempo|tiempo|el_clima
      |clima)_en_ => _tiempo_en_
  _(?:cuánto_mide|qué_altura_tiene|cuál_es_la_altura_(?:de|del)|altura_(?:de|del))_(?:el_
      |la_)? => _altura_
  _por_ciento_ => _%_

## pt
telling:
    o a os as um uma é são era como que quem qual onde quando por para com e ou não se de do da
    em no na meu minha posso pode há
empty:
    o os as um uma
saying:
    diz significa traduz traduzir palavra escreve fala canção filme livro
frames:
  ~ ^_(?:olá|oi|bom_dia|boa_tarde|boa_noite)_
      (?=[^_]+_[^_]+_[^_]+_) => _
  ~ _(?:obrigado|obrigada|muito_obrigado|por_favor)_$ => _
  ~ _por_favor_ => _
  ^_(?:você_)?(?:pode|poderia)_(?:me_)?(?:dizer|explicar|falar)_ => _
  ^_(?:me_diga|diga-me|diga|me_fale|me_diz)_ => _
  ^_(?:quero|queria|gostaria_de|preciso)_saber_ => _
  ^_(?:qual|quais|o_que)_(?:é|são)_ => _
  ^_qual_(?=o_|a_) => _
  ^_(?:como_(?:posso|eu_posso|se_pode|faço_para|eu_faço_para))_ => _como_
  ^_quando_(?:é_que_)?nasceu_ => _data_de_nascimento_de_
  ^_(?:a_)?data_de_nascimento_(?:de_|do_|da_) => _data_de_nascimento_de_
  ^_(?:como_está_o_tempo|que_tempo_faz|previsão_do_tempo|o_tempo
      |qual_é_a_previsão_do_tempo)_(?:em|para)_ => _tempo_em_
  _por_cento_ => _%_

## it
telling:
    il lo la i gli le un una è sono era come che chi quale dove quando perché per con e o non si
    di del della nel mio posso può ha fa
empty:
    il lo i gli le un uno una
saying:
    dice significa traduci tradurre parola scrive pronuncia canzone film libro
frames:
  ~ ^_(?:ciao|salve|buongiorno|buonasera)_
      (?=[^_]+_[^_]+_[^_]+_) => _
  ~ _(?:grazie|grazie_mille|per_favore|per_piacere)_$ => _
  ~ _per_(?:favore|piacere)_ => _
  ^_(?:mi_)?(?:puoi|può|potresti|potrebbe)_(?:dire|dirmi|spiegare|spiegarmi)_ => _
  ^_(?:dimmi|mi_dica|dammi|mostrami)_ => _
  ^_(?:voglio|vorrei|mi_piacerebbe|devo)_sapere_ => _
  ^_(?:qual|quale|quali|cosa|che_cosa|cos)_(?:è|sono)_ => _
  ^_come_(?:posso|si_può|faccio_a|si_fa_a)_ => _come_
  ^_quando_(?:è|era)_nat[oa]_ => _data_di_nascita_di_
  ^_(?:la_)?data_di_nascita_di_ => _data_di_nascita_di_
  ^_(?:che_tempo_fa|com'è_il_tempo|il_tempo|meteo|il_meteo)_(?:a_|di_|in_)? => _meteo_
  _per_cento_ => _%_

## nl
telling:
    de het een is zijn was hoe wat wie welke waar wanneer waarom ik je men en of niet van voor
    met op kan moet wordt naar in wonen
empty:
    de het een
saying:
    zegt betekent vertaal vertalen woord schrijf spreek lied film boek
frames:
  ~ ^_(?:hallo|hoi|hey|goedemorgen|goedemiddag|goedenavond|dag)_
      (?=[^_]+_[^_]+_[^_]+_) => _
  ~ _(?:bedankt|dank_je|dank_u|dank_je_wel|alsjeblieft|alstublieft|aub|svp)_$ => _
  ~ _(?:alsjeblieft|alstublieft)_ => _
  ^_(?:kun_je|kunt_u|kan_je|zou_je|zou_u)_(?:me_|mij_)?(?:vertellen|zeggen
      |uitleggen)_ => _
  ^_(?:vertel|zeg|geef)_(?:me_|mij_)? => _
  ^_(?:ik_wil|ik_zou_graag|ik_wil_graag)_(?:weten|willen_weten)_ => _
  ^_(?:wat|welke)_(?:is|zijn)_(?=de_|het_)(?!het_weer_) => _
  ^_hoe_heet_(?=de_|het_) => _
  ^_hoe_(?:kan|moet)_(?:ik|je|men)_ => _hoe_
  ^_(?:hoe_(?:is|wordt)_(?:het_)?)?(?:het_)?weer_(?:in_)? => _weer_
  ^_(?:wanneer_(?:is|werd)_(.+)_geboren)_$ => _geboortedatum_\1_
  ^_(?:de_)?geboortedatum_van_ => _geboortedatum_
"""
