"""Tells in which language a text is: by its script, then by frequent short words and letters that few languages have.

Made for whole sentences; of a few words, code or numbers it says that it cannot tell. tests/unit/curate/steps has
sentences in every language that it knows, which say how often it is right.
"""

from __future__ import annotations

import re
from collections import Counter

_WORDS: dict[str, str] = {
    "en": "the and of to is in that it for was with you this are be have not on as at but from they your what how "
          "can will would my we do does please which i there has were an or if so about when been a our two three "
          "by their after before where me no his her into more than",
    "de": "der die das und ist nicht ein eine zu den mit von auf für sich dem des ich sie es wie wir auch kann "
          "bitte haben wird bei oder aber mein meine einen im wenn noch nach sind war dass werden ihre aus um am "
          "habe in wo zwei drei an uns unsere unser ihr oft nur mehr diese diesen dieser zum zur wurde",
    "fr": "le la les des et est une pas que qui dans pour vous je sur ne avec ce plus sont il elle nous mon ma "
          "votre mais au du comment bonjour être avoir cette ces aux leur été fait ou très peut sans de en à est-ce "
          "avez voudrais leurs ses entre après avant deux trois toujours souvent ici merci quel quelle où",
    "es": "el los las del y es una que no en por con para se su como más mi pero esta este son al hay cuando muy "
          "gracias puedo tengo usted está fue ha sus lo si qué desde todo donde también la de a entre antes después "
          "dos tres siempre nuestra nuestro muestra dónde cuál hola estoy tiene quiero",
    "it": "il gli che di è una non per con del della sono mi si come più ma anche questo questa nel alla delle dei "
          "ho vorrei grazie quando molto stato perché ed nella ha sul dal suo lo dove cosa la le i a un in degli "
          "nostra nostro due tre prima dopo spesso ciao vuoi sulla dalle hanno",
    "pt": "o os as do da dos das e é um uma não que em para com por se meu minha mais como mas foi está são ao você "
          "muito obrigado quando isso pelo seu sua também já tem pela na no nos à até onde a de dois três antes "
          "depois nossa nosso meus suas olá muitas vezes este esta pode quero",
    "nl": "de het een en van is niet dat ik je op te zijn met voor er maar ook aan bij wordt kan mijn naar hoe wat "
          "deze heb heeft als om dan uw wij nog was hebben door over graag geen u in hij zij ons onze die wil mag "
          "twee drie na meer vaak waar vorige dit zou moet",
    "sv": "och att det är en ett som på inte av för jag med den till har de om kan vi mitt min hur från var eller "
          "när så men skulle också efter detta sig hade blir dig ni i du hos där här vår vårt alla två tre ofta "
          "blev fick nu kunde vara under mycket",
    "da": "og at det er en et som på ikke af for jeg med den til har de om kan vi mit min hvordan fra var eller når "
          "så men skulle også efter dette sig havde bliver hvad blev i du der her vores alle to tre ofte fik nu "
          "kunne være under meget hvor skal blevet",
    "nb": "og at det er en et som på ikke av for jeg med den til har de om kan vi mitt min hvordan fra var eller "
          "når så men skulle også etter dette seg hadde blir hva ble i dere du der her vår vårt alle to tre ofte "
          "fikk nå kunne være under mye hvor skal blitt",
    "fi": "ja on ei että se en mutta kun myös hän ovat oli joka tämä niin kuin voi minun mitä jos olen sen ole vain "
          "miten ollut kanssa tai minä siitä hyvin mukaan kiitos vielä koska missä kaksi kolme mikä tämän sitä "
          "usein jälkeen varten sekä olisi voitteko te me ovatko",
    "pl": "i w na nie się jest z do że to jak ale po o za dla od mam czy przez już jestem proszę są był tak co jego "
          "tylko może moje mój który która oraz gdy przy bardzo gdzie dwa dwóch trzech jej ich te ten ta tym "
          "została został nasze nasz naszej dziękuję",
    "cs": "a je v na se že to s z do ale jak pro jsem by za po od nebo mám jsou není byl která který tak jeho už "
          "při prosím také když mi ve co bych můj velmi podle i k o kde dvou tří tuto tento ta ten naši náš děkuji "
          "byly jejich jako",
    "ro": "și în de la nu este o un pe cu care pentru mai din sunt că se am a fost dar ce sau al ale cum vă către "
          "această acest foarte după când meu mea lui prin aș fi rog trei două doar unde toate noastră nostru bună "
          "mulțumesc pot",
    "hu": "a az és nem hogy is egy de van volt meg ez ha csak mint már én vagy el lehet nagyon hogyan kérem azt "
          "nincs még ezt arra majd itt után között lesz minden szeretném vagyok hol mi ezek két három mert volna "
          "kell pedig előtt által gyakran szerint nekem",
    "tr": "ve bir bu için de da ile ne çok daha var ben mi mu olarak gibi nasıl değil benim sonra kadar olan ama en "
          "lütfen her şey yok ya oldu istiyorum sizin olduğunu ancak göre iki üç nerede artık ki mı mü şu onun "
          "bizim çünkü neden önce hangi",
    "id": "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya ke karena ada bisa sudah atau apa "
          "adalah anda kami oleh mereka lebih telah seperti bagaimana mana tiga dua tolong harus bukan bagi tapi "
          "tetapi kita sangat sering dapat",
    "vi": "và của là có không được trong cho với một này để những người các tôi đã khi từ như về đến bạn nhiều",
    "ru": "и в не на я что с по это как а у к из за но он от мы вы для так мой было если меня его уже только все быть "
          "когда есть или ещё почему можно где она они был при до чтобы вас после",
    "uk": "і в не на я що з по це як а у до із за але він від ми ви для так мій було якщо мене його вже тільки все та "
          "бути коли є або ще чому можна де вона вони був при щоб вас після",
    "bg": "и в не на аз че с по това как а у към от за но той ние вие да ще ли си се съм са беше ако мен го само все "
          "когато е или още защо може къде тя те след който която със",
}  # fmt: skip
"""Language → frequent short words."""

_LETTERS: dict[str, tuple[str, ...]] = {
    "ß": ("de",), "ñ": ("es",), "¿": ("es",), "¡": ("es",), "ã": ("pt", "vi"), "õ": ("pt", "vi"), "œ": ("fr",),
    "ø": ("da", "nb"), "æ": ("da", "nb"), "ł": ("pl",), "ż": ("pl",), "ź": ("pl",), "ř": ("cs",), "ě": ("cs",),
    "ů": ("cs",), "ğ": ("tr",), "ı": ("tr",), "ő": ("hu",), "ű": ("hu",), "ț": ("ro",), "ș": ("ro",), "ă": ("ro", "vi"),
    "đ": ("vi",), "ơ": ("vi",), "ư": ("vi",), "ạ": ("vi",), "ế": ("vi",), "ё": ("ru",), "ы": ("ru",), "э": ("ru",),
    "ї": ("uk",), "є": ("uk",), "ґ": ("uk",), "і": ("uk",), "ъ": ("bg",), "ì": ("it",), "ò": ("it",), "ù": ("it", "fr"),
    "ê": ("fr", "pt"), "ä": ("de", "sv", "fi"), "å": ("sv", "da", "nb"), "ö": ("de", "sv", "fi", "hu", "tr"),
    "ü": ("de", "hu", "tr"),
}  # fmt: skip
"""Letter → the languages here that write it."""

_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("ja", r"[\u3040-\u30ff]"),
    ("ko", r"[\uac00-\ud7af]"),
    ("zh", r"[\u4e00-\u9fff]"),
    ("el", r"[\u0370-\u03ff]"),
    ("he", r"[\u0590-\u05ff]"),
    ("fa", r"[\u067e\u0686\u0698\u06a9\u06af\u06cc]"),
    ("ar", r"[\u0600-\u06ff]"),
    ("hi", r"[\u0900-\u097f]"),
    ("bn", r"[\u0980-\u09ff]"),
    ("ta", r"[\u0b80-\u0bff]"),
    ("th", r"[\u0e00-\u0e7f]"),
)
"""Language → what only its script has; the first that a tenth of the letters are of. Japanese is written with Chinese
characters too, and Persian with Arabic letters, so these two need fewer."""
_FEW = frozenset(("ja", "fa"))
_MAX_CHARACTERS = 2_000
_LETTER_WEIGHT, _MIN_SCORE, _MIN_LEAD = 1.0, 1.4, 1.1
_ASCII = re.compile(r"[\x00-\x7f]*\Z")
_WORD = re.compile(r"[^\W\d_]+")
_scripts = tuple((language, re.compile(pattern)) for language, pattern in _SCRIPTS)


def _by_word() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for language, words in _WORDS.items():
        for word in words.split():
            found[word] = (*found.get(word, ()), language)
    return found


_LANGUAGES_OF = _by_word()
LANGUAGES = frozenset(_WORDS) | {language for language, _ in _SCRIPTS}
"""All that can be told: ISO 639-1."""


def language_of(text: str) -> str | None:
    """The language of a text, as an ISO 639-1 code; None where it cannot be told."""
    text = text[:_MAX_CHARACTERS].lower()
    words = _WORD.findall(text)
    if not _ASCII.match(text):
        letters = sum(map(len, words))
        for language, script in _scripts:
            if len(script.findall(text)) >= (0.02 if language in _FEW else 0.3) * max(1, letters):
                return language
    scores: Counter[str] = Counter()
    for word in words:
        for language in (found := _LANGUAGES_OF.get(word, ())):
            scores[language] += 1 / len(found) ** 0.5  # type: ignore[assignment]
    for letter, count in Counter(text).items() if not text.isascii() else ():
        for language in (found := _LETTERS.get(letter, ())):
            scores[language] += _LETTER_WEIGHT * min(count, 5) / len(found)  # type: ignore[assignment]
    ranked = scores.most_common(2)
    if not ranked or ranked[0][1] < _MIN_SCORE:
        return None
    if len(ranked) == 2 and ranked[0][1] < _MIN_LEAD * ranked[1][1]:
        return None
    return ranked[0][0]
