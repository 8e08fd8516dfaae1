"""Complaints whose form has open fields: what a customer wrote is to be copied, not chosen from a list."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from freehold.demo.lexicon import COMPLAINTS, ComplaintLexicon
from freehold.demo.phrases import Blanks, Composed, Part, letter, load, phrasing, say
from freehold.demo.values import belongs, made_up_make, made_up_name, some_amount, some_date

AMOUNT_RATE, DATE_RATE = 0.8, 0.8
"""How often these two are said; else they are null."""
FIELDS = ("order", "customer", "product", "amount", "date", "wish")


def wishes() -> tuple[str, ...]:
    """The values of the one closed field."""
    return tuple(load(COMPLAINTS, ComplaintLexicon).wishes)


def compose_complaint(rng: Random, drifted: bool = False, part: Part = "all") -> Composed:
    """A complaint and its six fields as one JSON object; complaints do not drift."""
    del drifted
    lexicon, blanks = load(COMPLAINTS, ComplaintLexicon), Blanks()
    order, customer, product = _order(rng, part), made_up_name(rng, part), _product(lexicon, rng, part)
    amount = some_amount(rng, part) if rng.random() < AMOUNT_RATE else None
    day = some_date(rng, part) if rng.random() < DATE_RATE else None
    wish = rng.choice(wishes())
    slots = {"order": [blanks.of(rng.choice((order, order, f"#{order[3:]}", f"no. {order[3:]}")))]}
    slots |= {"customer": [blanks.of(customer)], "product": [blanks.of(product)]}
    slots |= {"name": slots["customer"], "item": slots["product"], "order_no": slots["order"]}
    slots["past"] = lexicon.no_date
    said = [lexicon.order, lexicon.customer]
    if amount:
        slots["amount"] = [blanks.of(amount.said)]
        said.append(lexicon.amount)
    if day:
        slots["date"] = [blanks.of(day.said)]
        slots["past"] = [f"on {slots['date'][0]}"]
        said.append(lexicon.date)
    said.append(lexicon.wishes[wish])
    rng.shuffle(said)
    cores = [say(phrasing(templates, rng, part), rng, slots) for templates in (lexicon.problems, *said)]
    truth = as_json(
        {
            "order": order,
            "customer": customer,
            "product": product,
            "amount": amount.value if amount else None,
            "date": day.value if day else None,
            "wish": wish,
        }
    )
    return Composed(blanks.filled(letter(cores, rng, slots)), truth)


def as_json(fields: Mapping[str, str | None]) -> str:
    """The form on one line; the amount is a number with two decimals."""
    written = {
        key: "null" if value is None else value if key == "amount" else f'"{value}"' for key, value in fields.items()
    }
    return "{" + ", ".join(f'"{key}": {value}' for key, value in written.items()) + "}"


def _order(rng: Random, part: Part) -> str:
    while True:
        order = f"BX-{rng.randrange(100_000, 1_000_000)}"
        if belongs(order, part):
            return order


def _product(lexicon: ComplaintLexicon, rng: Random, part: Part) -> str:
    while True:
        product = f"{made_up_make(rng)} {rng.choice(lexicon.nouns)}"
        if belongs(product, part):
            return product


def complaint_system(clock: str, ticket: str) -> str:
    """The instructions of the desk's software."""
    del clock
    return (
        f"Fill in Brindlebox's complaint form for ticket {ticket} as one JSON object with these keys, in this order:\n"
        '"order": the order number as BX- and six digits\n'
        '"customer": first name and surname as the customer wrote them\n'
        '"product": the product as the customer wrote it\n'
        '"amount": what was paid, as a number with two decimals; null if the customer does not say\n'
        '"date": the day of the purchase as YYYY-MM-DD (this year is 2026); null if the customer does not say\n'
        f'"wish": one of {", ".join(wishes())}; advice if the customer wishes nothing else'
    )


def complaint_format() -> dict[str, Any]:
    """The `response_format` with the form's schema."""
    text, absent = {"type": "string"}, {"type": "null"}
    properties: dict[str, Any] = {
        "order": {"type": "string", "pattern": "^BX-[0-9]{6}$"},
        "customer": text,
        "product": text,
        "amount": {"anyOf": [{"type": "number"}, absent]},
        "date": {"anyOf": [text, absent]},
        "wish": {"type": "string", "enum": list(wishes())},
    }
    schema = {"type": "object", "properties": properties, "required": list(FIELDS), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "complaint_form", "strict": True, "schema": schema}}
