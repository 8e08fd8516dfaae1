"""What the demo's stand-in for a rented model answers: the right answer, and now and then a plausible slip."""

from __future__ import annotations

import json
from collections.abc import Iterable
from random import Random

from freehold.demo.composers import extraction_values, intent_labels
from freehold.demo.grammar import Message
from freehold.demo.lexicon import REPLIES, ReplyLexicon
from freehold.demo.phrases import load, say


def incumbent_answers(messages: Iterable[Message], seed: int, mistake_rate: float = 0.02) -> list[str]:
    """One answer per message; each is wrong with probability `mistake_rate` in [0, 1], in the form of a right one."""
    rng = Random(f"{seed}/incumbent")
    return [_mistaken(message, rng) if rng.random() < mistake_rate else message.truth for message in messages]


def _mistaken(message: Message, rng: Random) -> str:
    """Another label, the other word, one field changed, or a reply that says nothing."""
    if message.task == "triage":
        return rng.choice([label for label in intent_labels() if label != message.truth])
    if message.task == "urgency":
        return "no" if message.truth == "yes" else "yes"
    if message.task == "extraction":
        answer = json.loads(message.truth)
        field, allowed = rng.choice(list(extraction_values().items()))
        answer[field] = rng.choice([value for value in allowed if value != answer[field]])
        return json.dumps(answer)
    greeting, _, ending = message.truth.split("\n\n")
    return "\n\n".join((greeting, say(rng.choice(load(REPLIES, ReplyLexicon).vague.bodies), rng), ending))
