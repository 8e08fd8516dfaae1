"""Words that say what a number beside them is, in English, German, French, Spanish, Italian, Dutch, Polish, Portuguese.

Names of fields (`phone_number`, `"telefono":`) count like words of a sentence.
"""

from __future__ import annotations

import re

_WINDOW = 64
_AFTER = 32
_BREAK = re.compile(r"[\d.;:!?\n]")

Cue = re.Pattern[str]


def cue(*words: str) -> Cue:
    """A pattern for one of `words` (patterns) with no digit between it and the end of the text."""
    return re.compile(rf"(?i)(?<![^\W\d_])(?:{'|'.join(words)})(?P<gap>[^\d]{{0,32}})\Z")


OTHER = re.compile(
    r"(?i)(?<![^\W\d_])(?:order|invoice|ticket|reference|ref|isbn|issn|ean|gtin|sku|asin|version|release|build|batch|"
    r"serial|tracking|booking|parcel|shipment|timestamp|epoch|commit|hash|item|part no|case|claim|row|line|page|"
    r"bestell\w*|auftrag\w*|rechnung\w*|artikel\w*|sendung\w*|vorgang\w*|aktenzeichen|buchung\w*|paket\w*|seriennummer|"
    r"commande|facture|colis|dossier|référence|réservation|pedido|factura|envío|referencia|reserva|"
    r"ordine|fattura|spedizione|riferimento|prenotazione|bestelling|factuur|pakket|zending|referentie|boeking|"
    r"zamówieni\w*|faktur\w*|przesyłk\w*|encomenda|fatura)[^\d\n]{0,16}\Z"
)
"""Words for numbers that are nobody's: where one stands right before a number, a likeness in form says little."""

PHONE = cue(
    r"(?:tele)?phone\w*", r"tel(?:\.|\b|_)", r"cell(?:ular)?(?: phone| number|:)", r"mobile?", r"mobiel\w*",
    r"mob\.", r"fax\b", r"call\b(?: \w+)?", r"whats ?app", r"sms\b", r"text me(?: at| on)?", r"dial\b",
    r"reach \w+ (?:at|on)", r"hotline",
    r"telefon\w*", r"handy\w*", r"mobil\w*", r"rufnummer", r"anrufen", r"erreich\w*", r"ruf \w+ (?:an)?",
    r"t[ée]l[ée]phon\w*", r"tél", r"portable", r"appele[zr]?", r"joindre", r"joignable",
    r"tel[ée]fono\w*", r"m[óo]vil", r"ll[aá]m\w+", r"celular", r"cellulare", r"chiam\w+", r"numero di tel\w*",
    r"telefoon\w*", r"bel(?:len|t)?\b(?: \w+)?(?: op)?", r"bereikbaar", r"telemóvel", r"komórk\w*", r"zadzwo\w+",
)  # fmt: skip
BIRTH = (
    r"date[ _-]?of[ _-]?birth|birth[ _-]?date|birth[ _-]?day|\bdob\b|born(?: on)?|"
    r"geburts(?:datum|tag)|geboren(?: am| op)?|\bgeb\.|\bnée?(?: le)?|date[ _]de[ _]naissance|naissance|"
    r"nacid[oa](?: el)?|fecha[ _]de[ _]nacimiento|nacimiento|\bnat[oa](?: il)?|data[ _]di[ _]nascita|nascita|"
    r"geboortedatum|\burodzon[ya]|data[ _]urodzenia|nascid[oa](?: em)?|data[ _]de[ _]nascimento"
)
CARD = cue(
    r"(?:credit|debit|bank|payment)?[ _-]?card", r"visa", r"mastercard", r"amex", r"maestro", r"(?:kredit)?karten?\w*",
    r"carte", r"tarjeta", r"carta", r"kaart\w*", r"karta", r"cartão",
)  # fmt: skip
ADDRESS = cue(r"ip(?:v4)?", r"address\w*", r"host\w*", r"server", r"ping", r"from", r"client", r"adresse", r"dirección")
VERSION = re.compile(
    r"(?i)(?:\bv|version\w*|release|build|firmware|driver|section|chapter|clause|figure|table|kapitel|abschnitt|§|"
    r"versión|versione|versie|sección|sezione|oid)[^\w\n]{0,3}\Z"
)


def said(words: Cue, text: str, start: int) -> bool:
    """Whether one of `words` stands shortly before `start`, and nothing between says that it is another number."""
    window = text[max(0, start - _WINDOW) : start]
    if window.rstrip()[-1:].isdigit():  # as in a list of numbers; the search would find the same, at more cost
        return False
    match = words.search(window)
    return match is not None and OTHER.search(match.group("gap")) is None


def says_other(text: str, start: int) -> bool:
    """Whether the words right before `start` say that it is a number of something that is nobody's."""
    window = text[max(0, start - _WINDOW) : start]
    return not window.rstrip()[-1:].isdigit() and OTHER.search(window) is not None


def follows(words: re.Pattern[str], text: str, end: int) -> bool:
    """Whether `words` come soon after `end`, in the same sentence and before any other number: `111222333 (BSN)`."""
    match = words.search(text[end : end + _AFTER])
    return match is not None and _BREAK.search(text[end : end + match.start()]) is None
