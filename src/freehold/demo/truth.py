"""Whether an answer is right by the grammar's truth, which the loop never sees."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from freehold.demo.grammar import Message
from freehold.demo.shop import write_books
from freehold.domain.answers import disagreement
from freehold.domain.scoring import SqlScorer
from freehold.scorers.base import Context, Unusable
from freehold.scorers.sql import score_sql


def is_right(message: Message, answer: str) -> bool:
    """The same text or the same JSON object; for SQL, a query with the same result on the shop's books."""
    if answer.strip() == message.truth:
        return True
    if message.task == "sql":
        return same_result(answer, message.truth)
    return not disagreement(answer, message.truth)


def same_result(query: str, reference: str) -> bool:
    """Whether two queries have the same result on the shop's books; in order where the reference has one."""
    scorer = SqlScorer(database=str(_books()[1]), seconds=1.0)
    try:
        return score_sql(scorer, query, reference, Context()).value == 1.0
    except Unusable:  # the answer's query did not end
        return False


@cache
def _books() -> tuple[TemporaryDirectory[str], Path]:
    """The books in a folder that goes with this process."""
    folder = TemporaryDirectory(prefix="freehold-books-")
    return folder, write_books(Path(folder.name) / "shop.sqlite")
