"""Precision and recall of the built-in detectors beside Presidio's pattern recognisers, on one labelled set.

    python bench/curate/pii.py [--per-kind 120]

The set is generated (`pii_values.py` writes the values, this module the sentences, fields and lists around them, in
six languages) with as many texts that hold only things like personal data: order numbers, hashes, versions, dates,
ISBNs, timestamps, UUIDs, prices, digits without a word beside them. A value counts as found where one finding of its
kind covers all of it; a finding counts as right where it overlaps a value of its kind. Presidio runs as
`freehold.curate.pii.presidio` sets it up: all of its pattern recognisers, words of context included, no model; all that
it says of a place counts, under whatever names.

The detectors were written with other seeds of this generator at hand: figures are those of forms that somebody thought
of. Real text has others.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pii_values as values
import polars as pl

from freehold.curate.pii import KINDS, Span, find_many
from freehold.curate.pii.presidio import OUR_NAMES, Presidio
from freehold.curate.pii.spans import resolve

Finder = Callable[[Sequence[str]], list[list[Span]]]
PRESIDIOS = frozenset(OUR_NAMES.values())
"""Kinds that Presidio knows, too."""
LANGUAGES = ("en", "de", "fr", "es", "it", "nl")
SHARED = Path(__file__).parents[3] / "shared/data/arena_bench.parquet"

NOUNS: dict[str, dict[str, list[str]]] = {
    "phone": {
        "en": ["phone number", "mobile number", "phone"],
        "de": ["Telefonnummer", "Handynummer", "Telefon"],
        "fr": ["numéro de téléphone", "portable", "téléphone"],
        "es": ["teléfono", "número de móvil", "teléfono de contacto"],
        "it": ["numero di telefono", "cellulare", "telefono"],
        "nl": ["telefoonnummer", "mobiele nummer", "telefoon"],
    },
    "email": {
        "en": ["email address"],
        "de": ["E-Mail-Adresse"],
        "fr": ["adresse e-mail"],
        "es": ["correo electrónico"],
        "it": ["indirizzo e-mail"],
        "nl": ["e-mailadres"],
    },
    "iban": {
        "en": ["IBAN", "account"],
        "de": ["IBAN", "Konto"],
        "fr": ["IBAN", "compte"],
        "es": ["IBAN", "cuenta"],
        "it": ["IBAN", "conto"],
        "nl": ["IBAN", "rekening"],
    },
    "card": {
        "en": ["credit card"],
        "de": ["Kreditkarte"],
        "fr": ["carte bancaire"],
        "es": ["tarjeta"],
        "it": ["carta di credito"],
        "nl": ["creditcard"],
    },
    "ip": {
        "en": ["IP address", "server"],
        "de": ["IP-Adresse", "Server"],
        "fr": ["adresse IP", "serveur"],
        "es": ["dirección IP", "servidor"],
        "it": ["indirizzo IP", "server"],
        "nl": ["IP-adres", "server"],
    },
    "mac": {
        "en": ["MAC address"],
        "de": ["MAC-Adresse"],
        "fr": ["adresse MAC"],
        "es": ["dirección MAC"],
        "it": ["indirizzo MAC"],
        "nl": ["MAC-adres"],
    },
    "btc-address": {language: ["wallet", "Bitcoin"] for language in LANGUAGES},
    "eth-address": {language: ["wallet", "Ethereum"] for language in LANGUAGES},
    "jwt": {language: ["JWT", "token"] for language in LANGUAGES},
    "private-key": {language: ["key", "id_rsa"] for language in LANGUAGES},
    "us-ssn": {"en": ["social security number", "SSN"]},
    "uk-nino": {"en": ["national insurance number", "NI number"]},
    "uk-nhs": {"en": ["NHS number", "NHS no."]},
    "de-tax-id": {"de": ["Steuer-ID", "steuerliche Identifikationsnummer", "IdNr."]},
    "fr-nir": {"fr": ["numéro de sécurité sociale", "NIR"]},
    "es-dni": {"es": ["DNI", "documento de identidad"]},
    "es-nie": {"es": ["NIE", "número de extranjero"]},
    "it-codice-fiscale": {"it": ["codice fiscale", "CF"]},
    "nl-bsn": {"nl": ["BSN", "burgerservicenummer"]},
    "pl-pesel": {"en": ["PESEL"]},
    "ch-ahv": {"de": ["AHV-Nummer"], "fr": ["numéro AVS"]},
    "be-nrn": {"nl": ["rijksregisternummer"], "fr": ["numéro de registre national"]},
}
"""Kind → language → what people call it."""

SENTENCES = {
    "en": [
        "My {n} is {v}, thanks.",
        "Please update the {n} to {v}.",
        "Here is the {n}: {v}",
        "{N}: {v}",
        "Is {v} still the right {n}?",
    ],
    "de": [
        "Meine {n} lautet {v}, danke.",
        "Bitte ändern Sie die {n} auf {v}.",
        "Hier die {n}: {v}",
        "{N}: {v}",
        "Stimmt {v} als {n} noch?",
    ],
    "fr": [
        "Mon {n} est le {v}, merci.",
        "Merci de noter le {n} {v}.",
        "Voici le {n} : {v}",
        "{N} : {v}",
        "Est-ce que {v} est encore le bon {n} ?",
    ],
    "es": [
        "Mi {n} es {v}, gracias.",
        "Por favor, cambie el {n} a {v}.",
        "Este es el {n}: {v}",
        "{N}: {v}",
        "¿Sigue siendo {v} el {n} correcto?",
    ],
    "it": [
        "Il mio {n} è {v}, grazie.",
        "Vorrei cambiare il {n} in {v}.",
        "Ecco il {n}: {v}",
        "{N}: {v}",
        "È ancora {v} il {n} giusto?",
    ],
    "nl": [
        "Mijn {n} is {v}, bedankt.",
        "Wilt u het {n} wijzigen in {v}?",
        "Hier is het {n}: {v}",
        "{N}: {v}",
        "Klopt {v} nog als {n}?",
    ],
}
PLAIN = {
    "en": ["Thanks, {v} it is.", "As agreed: {v}. Talk soon."],
    "de": ["Danke, also {v}.", "Wie besprochen: {v}. Bis bald."],
    "fr": ["Merci, donc {v}.", "Comme convenu : {v}. À bientôt."],
    "es": ["Gracias, entonces {v}.", "Como acordamos: {v}. Hasta pronto."],
    "it": ["Grazie, quindi {v}.", "Come d'accordo: {v}. A presto."],
    "nl": ["Bedankt, dus {v}.", "Zoals afgesproken: {v}. Tot snel."],
}
NEEDS_WORD = frozenset(("nl-bsn", "uk-nhs"))
"""A run of digits whose check digit every eleventh number has: without a word beside it, nobody can tell."""
BIRTHS = {
    "en": ["She was born on {v}.", "Date of birth: {v}", "DOB {v}"],
    "de": ["Sie ist am {v} geboren, geboren am {v}.", "Geburtsdatum: {v}", "geb. {v}"],
    "fr": ["Elle est née le {v}.", "Date de naissance : {v}"],
    "es": ["Nació, fecha de nacimiento {v}.", "Fecha de nacimiento: {v}"],
    "it": ["È nata il {v}.", "Data di nascita: {v}"],
    "nl": ["Zij is geboren op {v}.", "Geboortedatum: {v}"],
}
MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
}


class Case(NamedTuple):
    """A text and the values in it: (start, end, kind)."""

    text: str
    labels: list[tuple[int, int, str]]


def case_of(template: str, value: str, kind: str, **words: str) -> Case:
    text, labels = "", []
    for place, piece in enumerate(template.split("{v}")):
        if place:
            labels.append((len(text), len(text) + len(value), kind))
            text += value
        for name, word in words.items():
            piece = piece.replace("{" + name + "}", word)
        text += piece
    return Case(text, labels)


def in_context(rng: random.Random, kind: str, language: str, value: str) -> Case:
    """The value in a sentence, a field, a list or a document, mostly with a word for what it is."""
    noun = rng.choice(NOUNS[kind][language])
    field = noun.lower().replace(" ", "_").replace("-", "_")
    shapes = [*SENTENCES[language], json.dumps({field: "{v}", "id": 7}, ensure_ascii=False), f"{field}={{v}}\n"]
    if kind not in NEEDS_WORD:
        shapes += [*PLAIN[language], "7;Kim;{v};ok\n8;Lee;;ok", "- {v}\n- n/a"]
    return case_of(rng.choice(shapes), value, kind, n=noun, N=noun[0].upper() + noun[1:])


def birth(rng: random.Random, language: str) -> Case:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1935, 2010)
    named = MONTHS[language].split()[month - 1]
    written = {
        "en": [f"{named} {day}, {year}", f"{day} {named} {year}", f"{month:02d}/{day:02d}/{year}"],
        "de": [f"{day}. {named} {year}", f"{day:02d}.{month:02d}.{year}"],
        "es": [f"{day} de {named} de {year}", f"{day:02d}/{month:02d}/{year}"],
    }.get(language, [f"{day} {named} {year}", f"{day:02d}/{month:02d}/{year}", f"{day:02d}-{month:02d}-{year}"])
    template = (
        rng.choice(BIRTHS[language]).split(", geboren")[0]
        if language != "de"
        else rng.choice(["Sie ist geboren am {v}.", *BIRTHS["de"][1:]])
    )
    return case_of(template, rng.choice([*written, f"{year}-{month:02d}-{day:02d}"]), "date-of-birth")


def secrets_case(rng: random.Random, kind: str) -> Case:
    if kind == "url-credentials":
        scheme = rng.choice(["postgres", "https", "redis", "mongodb+srv", "amqp"])
        return case_of(
            f"DATABASE_URL={scheme}://{{v}}@db{rng.randint(1, 9)}.internal:5432/app", values.url_credentials(rng), kind
        )
    if kind == "assigned-secret":
        name = rng.choice(
            ["api_key", "SECRET_KEY", "client_secret", "password", "access-token", "apiKey", "auth_token"]
        )
        shape = rng.choice(
            [f'{name} = "{{v}}"', f"{name}: {{v}}\nport: 80", f"export {name.upper()}={{v}}", f'{{"{name}": "{{v}}"}}']
        )
        return case_of(shape, values.assigned_secret(rng), kind)
    value = values.PROVIDERS[kind](rng)
    shape = rng.choice(
        [
            'client = Client(api_key="{v}")',
            "Why does {v} not work?",
            "TOKEN={v}\n",
            'curl -H "X-Key: {v}" https://x.test',
            "{v}",
        ]
    )
    return case_of(shape, value, kind)


def generate(rng: random.Random, per_kind: int) -> list[Case]:
    cases: list[Case] = []
    for kind, by_language in NOUNS.items():
        languages = list(by_language)
        writer: Callable[..., str] = getattr(values, kind.replace("-", "_"))
        for place in range(per_kind):
            language = languages[place % len(languages)]
            value = writer(rng, language) if kind == "phone" else writer(rng)
            cases.append(in_context(rng, kind, language, value))
    cases += [birth(rng, LANGUAGES[place % 6]) for place in range(per_kind)]
    for kind in (*values.PROVIDERS, "url-credentials", "assigned-secret"):
        cases += [secrets_case(rng, kind) for _ in range(max(20, per_kind // 3))]
    positives = len(cases)
    for place in range(positives):
        template = rng.choice(PLAIN[LANGUAGES[place % 6]])
        cases.append(Case(template.replace("{v}", values.hard_negative(rng)), []))
    rng.shuffle(cases)
    return cases


class Score:
    """Counts of one kind by one engine."""

    def __init__(self) -> None:
        self.labelled = self.found = self.covered = self.said = self.right = 0


class Result(NamedTuple):
    """What one engine did."""

    kinds: dict[str, Score]
    nobodys: int
    """Findings, of any kind, where there is nothing to find; several of one place count once."""
    cpu: float


def score(cases: list[Case], find: Finder) -> Result:
    started = time.process_time()
    found = find([case.text for case in cases])
    spent = time.process_time() - started
    kinds: dict[str, Score] = defaultdict(Score)
    nobodys = 0
    for case, spans in zip(cases, found, strict=True):
        for start, end, kind in case.labels:
            of_kind = kinds[kind]
            of_kind.labelled += 1
            covering = {span.kind for span in spans if span.start <= start and span.end >= end}
            of_kind.found += kind in covering
            of_kind.covered += bool(covering)
        for span in spans:
            touched = {kind for start, end, kind in case.labels if span.start < end and start < span.end}
            kinds[span.kind].said += 1
            kinds[span.kind].right += span.kind in touched
        nobodys += sum(
            all(span.end <= start or end <= span.start for start, end, _ in case.labels) for span in resolve(spans)
        )
    return Result(kinds, nobodys, spent)


def share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "–"


def table(cases: list[Case], finders: dict[str, Finder]) -> None:
    size = sum(len(case.text.encode()) for case in cases)
    results = {name: score(cases, find) for name, find in finders.items()}
    heads = [f"{name} recall | {name} precision" for name in results]
    print(f"| kind | values | {' | '.join(heads)} |")
    print(f"|---|---|{'---|---|' * len(results)}")
    labelled = {kind: one.labelled for kind in KINDS if (one := results["built-in"].kinds[kind]).labelled}
    for kind, count in labelled.items():
        cells = [_cells(kind, name, result) for name, result in results.items()]
        print(f"| {kind} | {count} | {' | '.join(cells)} |")
    total = sum(labelled.values())
    print()
    for name, result in results.items():
        known = [kind for kind in labelled if name == "built-in" or kind in PRESIDIOS]
        found = sum(result.kinds[kind].found for kind in known)
        covered = sum(result.kinds[kind].covered for kind in labelled)
        print(
            f"- {name}: of the {len(known)} kinds it knows {share(found, sum(labelled[kind] for kind in known))} found;"
        )
        print(f"  {share(covered, total)} of all values covered, under whatever name; {result.nobodys} findings where")
        print(f"  there was nothing; {result.cpu:.2f} CPU s for {size / 1e6:.2f} MB full of personal data.")


def _cells(kind: str, name: str, result: Result) -> str:
    if name != "built-in" and kind not in PRESIDIOS:
        return "– | –"
    one = result.kinds[kind]
    return f"{share(one.found, one.labelled)} | {share(one.right, one.said)}"


def speed_on_real_text(finders: dict[str, Finder]) -> None:
    """CPU on prompts and answers as they come; few of them hold anything."""
    if not SHARED.exists():
        print(f"- Speed on real text was not measured: {SHARED} is not there.")
        return
    frame = pl.read_parquet(SHARED, columns=["prompt", "response"])
    texts = pl.concat([frame["prompt"], frame["response"]]).drop_nulls().unique(maintain_order=True).to_list()
    for name, find in finders.items():
        some = texts[:2000] if name == "built-in" else texts[:60]
        size = sum(len(text.encode()) for text in some)
        started = time.process_time()
        found = find(some)
        spent = time.process_time() - started
        count = sum(map(len, found))
        print(
            f"- {name}: {size / 1e6 / spent:.2f} MB per CPU s on {len(some)} prompts and answers as they come", end=""
        )
        print(f" ({size / 1e6:.2f} MB); {count} findings.")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--per-kind", type=int, default=120)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--misses", action="store_true", help="show what the built-in detectors miss or make up")
    options = parser.parse_args()
    cases = generate(random.Random(options.seed), options.per_kind)
    if options.misses:
        return show_misses(cases)
    presidio = Presidio()
    presidio.find("warm")
    finders: dict[str, Finder] = {
        "built-in": find_many,
        "Presidio": lambda texts: [presidio.find_all(text) for text in texts],
    }
    print(
        f"`python bench/curate/pii.py --per-kind {options.per_kind}`: {len(cases)} texts, half of them hard negatives\n"
    )
    table(cases, finders)
    speed_on_real_text(finders)
    return None


def show_misses(cases: list[Case]) -> None:
    for case, spans in zip(cases, find_many([case.text for case in cases]), strict=True):
        for start, end, kind in case.labels:
            if not any(span.kind == kind and span.start <= start and span.end >= end for span in spans):
                print(
                    "MISSED", kind, repr(case.text), [(span.kind, case.text[span.start : span.end]) for span in spans]
                )
        for span in spans:
            if not any(span.kind == kind and span.start < end and start < span.end for start, end, kind in case.labels):
                print("WRONG ", span.kind, repr(case.text), repr(case.text[span.start : span.end]))


if __name__ == "__main__":
    main()
