"""An analyst's question about the shop's books and the SQL query that answers it."""

from __future__ import annotations

import re
from random import Random

from freehold.demo.lexicon import QUERIES, Family, Filter, QueryLexicon
from freehold.demo.phrases import Blanks, Composed, Part, common, load, phrasing, say
from freehold.demo.shop import SCHEMA, books
from freehold.demo.values import MONTHS, YEAR, Said, belongs, some_date

LOWER_CASE_RATE, NO_END_RATE = 0.15, 0.2
"""How often analysts write without capitals, and without a mark at the end."""
_FEW = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def compose_question(rng: Random, drifted: bool = False, part: Part = "all") -> Composed:
    """A question of a random family, and its query; questions do not drift."""
    del drifted
    lexicon, blanks = load(QUERIES, QueryLexicon), Blanks()
    families = list(lexicon.families.values())
    [family] = rng.choices(families, [family.weight for family in families])
    said: list[str] = []
    clauses: list[str] = []
    tables = list(family.tables)
    for name in _chosen(family, rng):
        condition = lexicon.filters[name]
        value, words = _condition(name, condition, rng, part, blanks)
        said.append(words)
        clauses.append(condition.sql.replace("{value}", value))
        tables += [table for table in condition.tables if table not in tables]
    slots, values = _slots(family, rng, part, blanks)
    if "{by}" in family.select and values["by"].startswith("c.") and "c" not in tables:
        tables.append("c")
    body = phrasing(family.bodies, rng, part).replace("{what}", " ".join(said))
    text = say(body, rng, slots)
    where = " AND ".join([family.where, *clauses] if family.where else clauses)
    parts = [f"SELECT {family.select}", _from(tables, lexicon), where and f"WHERE {where}", family.tail]
    query = re.sub(r"\{(\w+)\}", lambda match: values[match[1]], " ".join(part for part in parts if part))
    return Composed(blanks.filled(_typed(f"{say(rng.choice(lexicon.openers), rng)} {text}".strip(), rng)), query)


def _chosen(family: Family, rng: Random) -> list[str]:
    """Conditions that may stand together: of a pair that speaks of the same column only one."""
    kept: list[str] = []
    columns: set[str] = set()
    for name in rng.sample(family.filters, rng.randint(family.fewest, min(family.most, len(family.filters)))):
        column = (
            "o.placed" if name in ("month", "since", "before") else "o.total" if name in ("over", "under") else name
        )
        if column not in columns:
            columns.add(column)
            kept.append(name)
    return kept


def _condition(name: str, condition: Filter, rng: Random, part: Part, blanks: Blanks) -> tuple[str, str]:
    """The value in the query, and the words of the question."""
    body = phrasing(condition.bodies, rng, part)
    if condition.values:
        value = rng.choice(list(condition.values))
        return value, say(body, rng, {"said": condition.values[value]})
    value, said = _open_value(name, rng, part)
    return value, say(body, rng, {"said": [blanks.of(said)]})


def _open_value(name: str, rng: Random, part: Part) -> Said:
    if name in ("since", "before", "joined"):
        return some_date(rng, part)
    if name == "month":
        number = rng.randrange(len(MONTHS))
        return Said(f"{YEAR}-{number + 1:02}", rng.choice((MONTHS[number], f"{MONTHS[number]} {YEAR}")))
    if name in ("city", "living"):
        city = rng.choice(common().slots["place"])
        return Said(city, city)
    number = _number(rng, part, 20, 400)
    return Said(number, number)


def _number(rng: Random, part: Part, lowest: int, highest: int) -> str:
    while True:
        number = str(rng.randint(lowest, highest))
        if belongs(number, part):
            return number


def _slots(family: Family, rng: Random, part: Part, blanks: Blanks) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The family's own values: as they are said, and as the query has them."""
    text = family.select + family.where + family.tail
    values: dict[str, str] = {}
    said: dict[str, list[str]] = {}
    if "{few}" in text:
        few = rng.randint(2, 10)
        values["few"], said["few"] = str(few), [blanks.of(rng.choice((_FEW[few - 1], str(few))))]
    if "{by}" in text:
        values["by"] = rng.choice(list(family.values))
        said["by"] = [rng.choice(family.values[values["by"]])]
    if "{number}" in text:
        values["number"] = _number(rng, part, 8, 70)
        said["number"] = [blanks.of(values["number"])]
    if "{order}" in text:
        values["order"] = str(_of(rng, part, [order[0] for order in books().orders]))
        said["order"] = [blanks.of(values["order"])]
    if "{customer}" in text:
        values["customer"] = str(_of(rng, part, [customer[1] for customer in books().customers]))
        said["customer"] = [blanks.of(values["customer"])]
    return said, values


def _of(rng: Random, part: Part, values: list[str] | list[int]) -> str | int:
    while True:
        value = rng.choice(values)
        if belongs(str(value), part):
            return value


def _from(tables: list[str], lexicon: QueryLexicon) -> str:
    """FROM and its joins: every table that is needed, each joined to the first."""
    first = tables[0]
    return " ".join(["FROM", lexicon.tables[first], *(lexicon.joins[first + table] for table in tables[1:])])


def _typed(text: str, rng: Random) -> str:
    text = text[:1].upper() + text[1:]
    if rng.random() < LOWER_CASE_RATE:
        text = text.lower()
    return text.rstrip("?") if rng.random() < NO_END_RATE else text


def question_system(clock: str, ticket: str) -> str:
    """The instructions of the analysts' software."""
    del ticket
    return (
        f"Write one SQLite query that answers the question about Brindlebox's books. It is {clock}; a date without a "
        f"year is of {YEAR}. Answer with the query alone, on one line.\n{SCHEMA.strip()}"
    )
