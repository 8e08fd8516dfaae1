"""Three workloads for generative students: recorded exchanges of a stand-in incumbent, and questions never seen.

`ticket`  a customer's complaint → its form as JSON: five fields are copied, one is chosen
`sql`     an analyst's question → one SQLite query; right if it has the reference's result
`units`   a conversion in words → a number; not learnable by a small student, a negative control

Exchanges hold a wrong answer in 2% of cases. The held-out questions are made of sentence templates that no exchange is
made of (a quarter of all, of every list) and of other values (order numbers, names, products, dates, amounts, limits);
openings and closings of letters, words within brackets, cities and months are shared.

    python bench/students/workloads.py ticket --seed 1      shows some of each
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from bench.students.units import compose_conversion

from freehold.demo.complaints import complaint_format, complaint_system, compose_complaint
from freehold.demo.grammar import Message
from freehold.demo.incumbent import mistaken_form, mistaken_query
from freehold.demo.phrases import Composed, Part
from freehold.demo.queries import compose_question, question_system
from freehold.demo.truth import is_right
from freehold.domain.chat import ChatRequest, answer_schema
from freehold.domain.scoring import JsonScorer, NumericScorer, Scorer, SqlScorer
from freehold.scorers import score

NAMES = ("ticket", "sql", "units")
EXCHANGES, HELD_OUT = 5_000, 500
MISTAKES = 0.02
CLOCK, TICKET = "Monday 2026-03-02, 08:00", "SD-482913"


class Exchange(NamedTuple):
    """One recorded exchange."""

    prompt: str
    answer: str
    """The incumbent's; wrong in 2% of cases."""
    truth: str


class Question(NamedTuple):
    """One held-out question."""

    prompt: str
    truth: str


class Workload(NamedTuple):
    """What a workload is made of."""

    compose: Callable[[Random, Part], Composed]
    mistaken: Callable[[str, Random], str]
    scorer: Scorer
    """Of the task in the loop; `sql` wants the path of the books."""
    system: str
    """The incumbent's instructions, which a student does not see."""
    response_format: dict[str, Any] | None = None
    """Of the requests: students keep to its schema, as they do in the loop."""

    @property
    def answer_schema(self) -> str:
        """As `freehold.domain.chat.answer_schema` tells it of a request."""
        return answer_schema(ChatRequest(model="", messages=[], response_format=self.response_format))


def _mistaken_number(truth: str, rng: Random) -> str:
    return f"{float(truth) * rng.choice((0.1, 0.5, 2.0, 10.0)):.2f}"


WORKLOADS = {
    "ticket": Workload(
        lambda rng, part: compose_complaint(rng, part=part),
        mistaken_form,
        JsonScorer(),
        complaint_system(CLOCK, TICKET),
        complaint_format(),
    ),
    "sql": Workload(
        lambda rng, part: compose_question(rng, part=part), mistaken_query, SqlScorer(), question_system(CLOCK, TICKET)
    ),
    "units": Workload(
        compose_conversion, _mistaken_number, NumericScorer(), "Convert. Answer with the number, two decimals."
    ),
}


def exchanges(name: str, n: int = EXCHANGES, seed: int = 1) -> list[Exchange]:
    """`n` recorded exchanges, the same for the same seed."""
    workload, rng = WORKLOADS[name], Random(f"{seed}/{name}/exchanges")
    found: list[Exchange] = []
    for _ in range(n):
        prompt, truth = workload.compose(rng, "seen")
        answer = workload.mistaken(truth, rng) if rng.random() < MISTAKES else truth
        found.append(Exchange(prompt, answer, truth))
    return found


def held_out(name: str, n: int = HELD_OUT, seed: int = 1) -> list[Question]:
    """`n` questions in phrasings and with values that no exchange has."""
    compose, rng = WORKLOADS[name].compose, Random(f"{seed}/{name}/held out")
    return [Question(*compose(rng, "unseen")) for _ in range(n)]


def right(name: str, answer: str, truth: str) -> bool:
    """Exact JSON, the same result of a query, or the same number (to a thousandth)."""
    if name == "units":
        return score(NumericScorer(relative=1e-3), answer, truth).value == 1.0
    return is_right(Message({"ticket": "complaint"}.get(name, name), "", "", truth), answer)


def main() -> int:
    """Show some of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for exchange in exchanges(options.name, 8, options.seed):
        print(f"{exchange.prompt}\n  → {exchange.answer}")
    print("\nheld out:")
    for question in held_out(options.name, 8, options.seed):
        print(f"{question.prompt}\n  → {question.truth}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
