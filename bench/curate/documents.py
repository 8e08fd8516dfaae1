"""Documents made from a grammar, with duplicates planted in them, which is a duplicate of which, and rows of them."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from freehold.curate.rows import ROW_COLUMNS

_SYLLABLES = ("ba", "be", "co", "da", "den", "el", "fa", "gor", "hi", "in", "jo", "ka", "lum", "mi", "nor", "o", "pre",
              "qui", "ra", "sen", "ti", "ul", "va", "wex", "yo", "zan")  # fmt: skip
_OPENINGS = (
    "Dear support team, I am writing about",
    "Hello, can you please look into",
    "This is the second time that I report",
    "Please summarise the following note on",
    "Which department should handle",
)
_CLOSINGS = ("Thank you in advance.", "Please reply today.", "Best regards.", "I look forward to your answer.")


class Document(NamedTuple):
    """One document; `of`: the number of the document that it was copied from, or -1; `edits`: share of words edited."""

    text: str
    of: int
    edits: float


def vocabulary(size: int, seed: int) -> list[str]:
    """Words of two to four syllables."""
    draw = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < size:
        found["".join(draw.choice(_SYLLABLES) for _ in range(draw.randint(2, 4)))] = None
    return list(found)


def documents(count: int, seed: int, *, near: float = 0.1, exact: float = 0.05) -> list[Document]:
    """So many documents of 30 to 90 words, a share of them near and exact copies of others; in random order.

    Near copies have 2, 5 or 10% of their words replaced, dropped or inserted (at least one).
    """
    draw = random.Random(seed)
    words = vocabulary(20_000, seed)
    weights = [1 / (rank + 5) for rank in range(len(words))]  # roughly as words of a language are distributed
    cumulative = [0.0]
    for weight in weights:
        cumulative.append(cumulative[-1] + weight)
    originals = int(count * (1 - near - exact))
    made = [Document(_original(draw, words, cumulative[1:]), -1, 0.0) for _ in range(originals)]
    sources = draw.sample(range(originals), count - originals)
    for number, source in enumerate(sources):
        edits = draw.choice((0.02, 0.05, 0.1)) if number < count * near else 0.0
        text = _edited(draw, made[source].text, edits, words) if edits else _respaced(draw, made[source].text)
        made.append(Document(text, source, edits))
    return made


def _original(draw: random.Random, words: list[str], cumulative: list[float]) -> str:
    body = draw.choices(words, cum_weights=cumulative, k=draw.randint(30, 90))
    return f"{draw.choice(_OPENINGS)} {' '.join(body)}. {draw.choice(_CLOSINGS)}"


def _edited(draw: random.Random, text: str, share: float, words: list[str]) -> str:
    tokens = text.split(" ")
    for _ in range(max(1, round(share * len(tokens)))):
        place = draw.randrange(len(tokens))
        match draw.randrange(3):
            case 0:
                tokens[place] = draw.choice(words)
            case 1:
                tokens.insert(place, draw.choice(words))
            case _:
                del tokens[place]
    return " ".join(tokens)


def _respaced(draw: random.Random, text: str) -> str:
    """The same words in another case and spacing."""
    return text.upper() if draw.random() < 0.5 else text.replace(" ", "  ")


def curated_row(number: int, prompt: str, part: str, answer: str = "yes") -> dict[str, Any]:
    """A row as steps of curating take it, with `ROW_COLUMNS`."""
    usual = {
        "answer_schema": "",
        "task": "t",
        "source": "",
        "model": "m",
        "answered_by": "u/m",
        "terms": "own",
        "verdict": "allow",
    }
    rest = {"status": 200, "answer": answer, "input_tokens": 1, "output_tokens": 1, "uniform": True, "changed": ""}
    own = {"row": f"r{number:08}", "at_ns": number, "prompt": prompt, "part": part, "origin": "incumbent"}
    return {**dict.fromkeys(ROW_COLUMNS), **usual, **rest, **own}
