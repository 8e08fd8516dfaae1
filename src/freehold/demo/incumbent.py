"""What the demo's stand-in for a rented model answers: the right answer, and now and then a plausible slip."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from random import Random

from freehold.demo.complaints import wishes
from freehold.demo.composers import extraction_values, intent_labels
from freehold.demo.grammar import Message
from freehold.demo.lexicon import REPLIES, ReplyLexicon
from freehold.demo.phrases import load, say
from freehold.demo.truth import same_result


def incumbent_answers(messages: Iterable[Message], seed: int, mistake_rate: float = 0.02) -> list[str]:
    """One answer per message; each is wrong with probability `mistake_rate` in [0, 1], in the form of a right one."""
    rng = Random(f"{seed}/incumbent")
    return [_mistaken(message, rng) if rng.random() < mistake_rate else message.truth for message in messages]


def _mistaken(message: Message, rng: Random) -> str:
    """Another label, the other word, one field changed, another query, or a reply that says nothing."""
    if message.task == "triage":
        return rng.choice([label for label in intent_labels() if label != message.truth])
    if message.task == "urgency":
        return "no" if message.truth == "yes" else "yes"
    if message.task == "extraction":
        answer = json.loads(message.truth)
        field, allowed = rng.choice(list(extraction_values().items()))
        answer[field] = rng.choice([value for value in allowed if value != answer[field]])
        return json.dumps(answer)
    if message.task == "complaint":
        return mistaken_form(message.truth, rng)
    if message.task == "sql":
        return mistaken_query(message.truth, rng)
    greeting, _, ending = message.truth.split("\n\n")
    return "\n\n".join((greeting, say(rng.choice(load(REPLIES, ReplyLexicon).vague.bodies), rng), ending))


def mistaken_form(truth: str, rng: Random) -> str:
    """A complaint's form with a digit or letter of one field changed, or another wish."""
    wish = json.loads(truth)["wish"]
    others = [truth.replace(f'"{wish}"', f'"{other}"') for other in wishes() if other != wish]
    copied = list(re.finditer(r"(?<=[\d.])\d|(?<=[a-z])[a-z](?=[a-z ]*\", \"(?:product|amount))", truth))
    if rng.random() < 0.3 or not copied:
        return rng.choice(others)
    at = rng.choice(copied).start()
    pool = "0123456789" if truth[at].isdigit() else "abcdefghijklmnopqrstuvwxyz"
    return truth[:at] + rng.choice([letter for letter in pool if letter != truth[at]]) + truth[at + 1 :]


def mistaken_query(truth: str, rng: Random) -> str:
    """A query with another result: a condition forgotten or turned round, another sum, or one row more."""
    slips = [
        re.sub(r" (?:AND|WHERE) [^()]*?(?= GROUP| ORDER|$)", "", truth, count=1),
        truth.replace(" >= ", " < ") if " >= " in truth else truth.replace(" < ", " >= "),
        truth.replace("SUM(", "MAX(") if "ORDER" not in truth else truth,
        truth.replace("COUNT(*) FROM", "COUNT(*) - 1 FROM"),
        truth.replace("MAX(", "MIN(").replace("AVG(", "MIN("),
        re.sub(r"LIMIT (\d+)", lambda match: f"LIMIT {int(match[1]) + 1}", truth),
        truth.replace("SELECT o.id", "SELECT o.customer_id"),
    ]
    rng.shuffle(slips)
    return next((slip for slip in slips if not same_result(slip, truth)), "SELECT 0")
