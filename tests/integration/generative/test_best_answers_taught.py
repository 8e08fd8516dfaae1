"""Of several recorded answers to a prompt a student is taught the best, and what it is not shown is counted."""

from __future__ import annotations

from pathlib import Path

import msgspec
from generative_desk import GenerativeDesk, orders

from freehold.domain.evidence import Sample
from freehold.domain.scoring import ExactScorer, JsonScorer
from freehold.train.generative.distil import best_answers
from freehold.train.generative.students import Plan
from freehold.train.left_out import in_words
from freehold.train.recipes import load_recipe


def test_it_learns_the_best_of_three(tmp_path: Path) -> None:
    """Every third answer is wrong; of three answers two agree."""
    rows: list[Sample] = []
    for number, row in enumerate(orders(240)):
        several = range(3) if row.part == "fit" else range(1)
        for answer in several:
            wrong = row.part == "fit" and answer == number % 3
            said = '{"thing": "nothing", "colour": "none"}' if wrong else row.answer
            prompt = f"{row.prompt} {number}" if row.part == "fit" else row.prompt
            rows.append(msgspec.structs.replace(row, trace_id=f"{row.trace_id}{answer}", answer=said, prompt=prompt))
    rows[0] = msgspec.structs.replace(rows[0], prompt="far too long " * 60)
    desk = GenerativeDesk(tmp_path, epochs=2, samples=rows)
    text = (tmp_path / "recipe.toml").read_text().replace("context = 64", "context = 64\nsamples = 3")
    (tmp_path / "recipe.toml").write_text(text)
    student = desk.train()
    prompts = 120
    assert student.metrics["examples"] == prompts and student.metrics["answers_not_chosen"] == 2 * prompts - 1
    assert student.metrics["left_out_long"] == 1
    assert in_words(student.metrics) == "1 example left out: longer than the context."
    assert 0 < student.metrics["padding"] < 0.5

    recipe = load_recipe(str(tmp_path / "recipe.toml"))
    taught = best_answers(rows, recipe, JsonScorer())
    assert not any("nothing" in row.answer for row in taught.samples if row.trace_id != rows[0].trace_id)
    plans = [Plan(desk.dataset, rows, recipe, None, 0, scorer) for scorer in (JsonScorer(), ExactScorer())]
    assert plans[0].name != plans[1].name, "which answers are best depends on it"
    alone = msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, samples=1))
    same = {Plan(desk.dataset, rows, alone, None, 0, scorer).name for scorer in (JsonScorer(), ExactScorer())}
    assert len(same) == 1
    desk.close()
