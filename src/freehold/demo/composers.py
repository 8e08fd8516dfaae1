"""The tasks of the demo's support desk: each makes a message with its right answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from freehold.demo.complaints import complaint_format, complaint_system, compose_complaint
from freehold.demo.lexicon import (
    EXTRACTION,
    INTENTS,
    REPLIES,
    URGENCY,
    Ambiguous,
    ExtractionLexicon,
    Field,
    IntentLexicon,
    ReplyLexicon,
    UrgencyLexicon,
)
from freehold.demo.phrases import Composed, common, letter, load, say
from freehold.demo.queries import compose_question, question_system

AMBIGUOUS_RATE, COMPOUND_RATE, REPEAT_RATE = 0.012, 0.012, 0.5
"""Shares of triage messages that nobody could label for certain, that hold a second, lesser request, and that say
their one request in two ways."""

EXPLICIT_RATE, DISTRACTOR_RATE = 0.65, 0.015
"""How often a field with a default is said all the same, and how often a channel is named without being wished for."""


def intent_labels() -> tuple[str, ...]:
    """The 24 labels of triage, in the system prompt's order."""
    return tuple(load(INTENTS, IntentLexicon).intents)


def compose_triage(rng: Random, drifted: bool) -> Composed:
    """A message and its intent; triage does not drift."""
    del drifted
    lexicon = load(INTENTS, IntentLexicon)
    draw = rng.random()
    if draw < AMBIGUOUS_RATE:
        vague: Ambiguous = rng.choice(lexicon.ambiguous)
        return Composed(letter([say(rng.choice(vague.bodies), rng)], rng), rng.choice(vague.intents))
    labels = list(lexicon.intents)
    weights = [intent.weight for intent in lexicon.intents.values()]
    label, lesser = rng.choices(labels, weights, k=2)
    cores = [say(rng.choice(lexicon.intents[label].bodies), rng)]
    if draw < AMBIGUOUS_RATE + COMPOUND_RATE:
        cores.append("also, " + say(rng.choice(lexicon.intents[lesser].bodies), rng))
    elif draw < AMBIGUOUS_RATE + COMPOUND_RATE + REPEAT_RATE:
        cores.append(say(rng.choice(lexicon.intents[label].bodies), rng))
    return Composed(letter(cores, rng), label)


def compose_urgency(rng: Random, drifted: bool) -> Composed:
    """A message and `yes` or `no`. After the drift, questions once harmless come from a strike and need action."""
    lexicon = load(URGENCY, UrgencyLexicon)
    if drifted and rng.random() < lexicon.drift.share:
        situation, truth = lexicon.drift, "yes"
    else:
        kinds = (lexicon.yes, lexicon.no, lexicon.rumour, lexicon.unsure)
        [situation] = rng.choices(kinds, [kind.share for kind in kinds])
        guess = rng.choice(("yes", "no"))
        truth = guess if situation is lexicon.unsure else "yes" if situation is lexicon.yes else "no"
    cores = [say(rng.choice(situation.bodies), rng)]
    if rng.random() < lexicon.impatient.share:
        cores.append(say(rng.choice(lexicon.impatient.bodies), rng))
    return Composed(letter(cores, rng), truth)


def _field(field: Field, rng: Random) -> tuple[str, list[str]]:
    """A value and the sentences that say it: none when it is the default and goes unsaid."""
    if field.default and rng.random() > EXPLICIT_RATE:
        return field.default, []
    value = rng.choice(list(field.values))
    return value, [say(rng.choice(field.values[value]), rng)]


def compose_extraction(rng: Random, drifted: bool) -> Composed:
    """A complaint and its four fields as one JSON object; extraction does not drift."""
    del drifted
    lexicon = load(EXTRACTION, ExtractionLexicon)
    product = rng.choice(list(lexicon.product.values))
    slots = {**lexicon.slots, "product": lexicon.product.values[product]}
    problem = say(rng.choice(lexicon.problems.bodies), rng, slots)
    channel, channel_said = _field(lexicon.channel, rng)
    if not channel_said and rng.random() < DISTRACTOR_RATE / (1 - EXPLICIT_RATE):
        channel_said = [say(rng.choice(lexicon.channel.distractors.bodies), rng)]
    refund = rng.random() < 0.45
    wish = lexicon.refund.asked if refund else lexicon.refund.not_asked
    refund_said = [say(rng.choice(wish.bodies), rng)]
    priority, priority_said = _field(lexicon.priority, rng)
    wishes = channel_said + refund_said + priority_said
    rng.shuffle(wishes)
    truth = json.dumps({"product": product, "channel": channel, "refund": refund, "priority": priority})
    return Composed(letter([problem, *wishes], rng), truth)


def compose_reply(rng: Random, drifted: bool) -> Composed:
    """A question and an agent's free answer of a few sentences; no two answers are alike. Replies do not drift."""
    del drifted
    lexicon, words = load(REPLIES, ReplyLexicon), common()
    topic = rng.choice(list(lexicon.topics.values()))
    name = rng.choice(words.slots["name"])
    order = say("BX-@@@@@@", rng)
    slots = {"name": [name], "agent": words.slots["name"], "order": [order]}
    slots |= {"item": [say("{item}", rng)], "other": [say("{item}", rng)]}
    user = letter([f"{name} here", say(rng.choice(topic.ask), rng, slots)], rng, slots)
    sentences = [rng.choice(topic.first), *rng.sample(topic.then, rng.randint(1, 2))]
    if not any("{order}" in sentence for sentence in sentences):
        sentences.append("Your reference is {order}.")
    parts = [rng.choice(lexicon.greetings.bodies), " ".join(sentences), rng.choice(lexicon.endings.bodies)]
    return Composed(user, say("\n\n".join(parts), rng, slots))


class Task(NamedTuple):
    """One kind of call the desk's software makes."""

    compose: Callable[[Random, bool], Composed]
    system: Callable[[str, str], str]
    """Of the desk's clock and a ticket number."""
    response_format: dict[str, Any] | None = None


def extraction_values() -> dict[str, list[Any]]:
    """Every value each field of the extraction task can take."""
    lexicon = load(EXTRACTION, ExtractionLexicon)
    return {
        "product": list(lexicon.product.values),
        "channel": list(lexicon.channel.values),
        "refund": [True, False],
        "priority": list(lexicon.priority.values),
    }


def _triage_system(clock: str, ticket: str) -> str:
    intents = load(INTENTS, IntentLexicon).intents
    labels = "\n".join(f"- {label}: {intent.gloss}" for label, intent in intents.items())
    return (
        "You sort incoming messages for the support desk of Brindlebox, an online shop for home and outdoor goods.\n"
        f"It is {clock}. Ticket {ticket}.\n"
        "Answer with exactly one label from the list and nothing else. If there are two requests, the first counts.\n"
        f"{labels}"
    )


def _urgency_system(clock: str, ticket: str) -> str:
    del ticket
    return (
        "You watch the inbox of the Brindlebox support desk.\n"
        f"Desk time: {clock}.\n"
        "Must a person act on this message today, because someone is in danger, loses money, or a promised delivery "
        "will fail otherwise? Questions that can wait are not urgent, however impatient they sound.\n"
        "Answer yes or no, in lower case, and nothing else."
    )


def _extraction_system(clock: str, ticket: str) -> str:
    del clock, ticket
    values = extraction_values()
    return (
        "Read a complaint sent to Brindlebox and fill in the form as one JSON object with these keys, in this order:\n"
        f'"product": one of {", ".join(values["product"])}\n'
        f'"channel": how the customer wants to be answered, one of {", ".join(values["channel"])}; '
        "email if the customer does not say\n"
        '"refund": true if the customer asks for money back, else false\n'
        f'"priority": one of {", ".join(values["priority"])}; normal if the customer does not say'
    )


def _reply_system(clock: str, ticket: str) -> str:
    return (
        f"You answer customers of Brindlebox. Ticket {ticket}, opened on {clock}.\n"
        "Write a friendly reply of two to four sentences. Greet the customer by name, give the order number, "
        "promise nothing the order does not show, and sign with your first name."
    )


def _extraction_format() -> dict[str, Any]:
    values = extraction_values()
    properties = {
        key: {"type": "boolean"} if key == "refund" else {"type": "string", "enum": allowed}
        for key, allowed in values.items()
    }
    schema = {"type": "object", "properties": properties, "required": list(values), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "complaint", "strict": True, "schema": schema}}


def desk_tasks() -> dict[str, Task]:
    """The desk's tasks by name."""
    return {
        "triage": Task(compose_triage, _triage_system),
        "urgency": Task(compose_urgency, _urgency_system),
        "extraction": Task(compose_extraction, _extraction_system, _extraction_format()),
        "reply": Task(compose_reply, _reply_system),
        "complaint": Task(compose_complaint, complaint_system, complaint_format()),
        "sql": Task(compose_question, question_system),
    }
