"""The demo's open tasks: complaints whose values are copied, and questions answered by SQL on the shop's books."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from freehold.demo.complaints import FIELDS, compose_complaint, wishes
from freehold.demo.grammar import Message, SupportDesk, chat_request, traffic
from freehold.demo.incumbent import incumbent_answers
from freehold.demo.lexicon import COMPLAINTS, QUERIES, ComplaintLexicon, QueryLexicon
from freehold.demo.phrases import Blanks, load, phrasing, roughen
from freehold.demo.queries import compose_question
from freehold.demo.shop import books, write_books
from freehold.demo.truth import is_right, same_result
from freehold.demo.values import belongs, made_up_name, some_amount, some_date
from freehold.domain.chat import parse_chat
from freehold.domain.fingerprint import shape_of
from freehold.domain.scoring import JsonScorer
from freehold.scorers.guess import guess

ROWS = 2000


@pytest.fixture(scope="module")
def complaints() -> list[Message]:
    return list(SupportDesk(3).messages("complaint", ROWS))


@pytest.fixture(scope="module")
def questions() -> list[Message]:
    return list(SupportDesk(3).messages("sql", ROWS))


def test_open_tasks_repeat_by_seed_and_hardly_repeat_themselves(
    complaints: list[Message], questions: list[Message]
) -> None:
    mix = {"complaint": 0.42, "sql": 0.58}
    assert traffic(5, 200, mix) == traffic(5, 200, mix) != traffic(6, 200, mix)
    assert len({m.user for m in complaints}) == len({m.truth for m in complaints}) == ROWS
    assert len({m.user for m in questions}) > 0.95 * ROWS
    for message in (*complaints, *questions):
        assert not any(mark in message.user for mark in "[]{}@|") and message.user == message.user.strip()
        assert not any("\ue000" <= letter <= "\uf8ff" for letter in message.user + message.truth)
        assert 5 < len(message.user) < 700
    prints = {shape_of(parse_chat(json.dumps(chat_request(m, "f")).encode())).fingerprint for m in complaints[:200]}
    assert len(prints) == 1


def test_a_complaint_says_every_value_that_its_form_has(complaints: list[Message]) -> None:
    nulls = Counter[str]()
    for message in complaints:
        form = json.loads(message.truth)
        assert tuple(form) == FIELDS and form["wish"] in wishes()
        assert form["order"][3:] in message.user
        assert form["customer"] in message.user and form["product"] in message.user
        if form["amount"] is None:
            nulls["amount"] += 1
        else:
            whole, cents = f"{form['amount']:.2f}".split(".")
            assert whole in message.user and (cents == "00" or cents in message.user)
        if form["date"] is None:
            nulls["date"] += 1
        else:
            assert str(int(form["date"][-2:])) in message.user
    assert all(0.15 < nulls[field] / ROWS < 0.25 for field in ("amount", "date"))
    guessed = guess([message.truth for message in complaints[:500]])
    assert isinstance(guessed.scorer, JsonScorer) and "mostly texts seen once" in guessed.reason


def test_every_query_runs_and_most_give_something(questions: list[Message], tmp_path: Path) -> None:
    file = write_books(tmp_path / "shop.sqlite")
    assert file.read_bytes() == write_books(tmp_path / "again.sqlite").read_bytes()
    connection = sqlite3.connect(file)
    empty = 0
    for message in questions:
        rows = connection.execute(message.truth).fetchall()
        empty += rows in ([], [(0,)], [(None,)])
        assert len(rows) < 1000
    connection.close()
    assert empty < 0.05 * ROWS
    joins = Counter(message.truth.count("JOIN") for message in questions)
    assert set(joins) == {0, 1, 2} and min(joins.values()) > 20
    for part in ("GROUP BY", "HAVING", "ORDER BY", "LIMIT", "SUM(", "AVG(", "MAX(", "COUNT(", " AND ", "LIKE"):
        assert sum(part in message.truth for message in questions) > 20, part


def test_the_books_have_nothing_that_ties_or_needs_quoting() -> None:
    rows = books()
    names = [row[1] for row in rows.customers]
    assert len(set(names)) == len(names) and len({row[3] for row in rows.products}) == len(rows.products)
    assert all(name.replace(" ", "").isalpha() for name in names)


def test_the_incumbent_errs_on_open_tasks_in_the_form_of_a_right_answer(
    complaints: list[Message], questions: list[Message]
) -> None:
    messages = [*complaints, *questions]
    answers = incumbent_answers(messages, 8)
    assert answers == incumbent_answers(messages, 8)
    wrong = [(m, a) for m, a in zip(messages, answers, strict=True) if not is_right(m, a)]
    assert len(wrong) / len(messages) == pytest.approx(0.02, abs=0.006)
    for message, answer in wrong:
        if message.task == "complaint":
            right, got = json.loads(message.truth), json.loads(answer)
            assert sum(right[key] != got[key] for key in right) == 1
        else:
            assert answer.startswith("SELECT ")


def test_an_answer_is_right_by_what_it_means() -> None:
    question = Message("sql", "", "", "SELECT COUNT(*) FROM orders o WHERE o.status = 'shipped'")
    assert is_right(question, "select count(id) from orders where status in ('shipped')")
    assert not is_right(question, "SELECT COUNT(*) FROM orders")
    assert not is_right(question, "I do not know")
    assert not same_result("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT x FROM n", "SELECT 1")
    form = Message("complaint", "", "", '{"amount": 4.50, "date": null}')
    assert is_right(form, '{"date":null,"amount":4.5}') and not is_right(form, '{"amount": 4.51, "date": null}')
    assert not is_right(form, '{"amount": ')


def test_unseen_phrasings_and_values_are_in_no_seen_message() -> None:
    complaints, queries = load(COMPLAINTS, ComplaintLexicon), load(QUERIES, QueryLexicon)
    lists = [complaints.problems, complaints.order, complaints.amount, complaints.date]
    lists += [complaints.customer, complaints.wish_said]
    lists += [family.bodies for family in queries.families.values()]
    for templates in lists:
        assert len(templates) % 4 == 0 and len(set(templates)) == len(templates)
        rng = random.Random(1)
        seen, unseen = ({phrasing(templates, rng, part) for _ in range(300)} for part in ("seen", "unseen"))
        assert seen | unseen == set(templates) and not seen & unseen and len(unseen) == len(templates) // 4
    rng = random.Random(2)
    makers = (
        lambda rng, part: made_up_name(rng, part).split()[1],
        lambda rng, part: some_date(rng, part).value,
        lambda rng, part: some_amount(rng, part).value,
    )
    for make in makers:
        assert all(belongs(make(rng, part), part) for part in ("seen", "unseen") for _ in range(50))
    for compose in (compose_complaint, compose_question):
        seen, unseen = ({compose(rng, part=part).user for _ in range(500)} for part in ("seen", "unseen"))
        assert not seen & unseen


def test_slips_leave_values_alone() -> None:
    blanks = Blanks()
    text = f"please send it to {blanks.of('Mara Velding')}, order {blanks.of('BX-123456')}."
    for seed in range(200):
        filled = blanks.filled(roughen(text, random.Random(seed)))
        assert "Mara Velding" in filled and "BX-123456" in filled
