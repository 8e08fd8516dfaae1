"""A plan as people see it: on any terminal, and as a report that nothing from outside can script."""

from __future__ import annotations

import io
import re
import sys

import pytest
from msgspec.structs import replace

from freehold.cli import plan_words
from freehold.cli.canvas import Canvas
from freehold.cli.plan_picture import picture_of
from freehold.cli.plan_report import report
from freehold.cli.plan_view import show_plan, suggestion
from freehold.curate.outcomes import ModelInFile
from freehold.domain.plans import CurvePoint, ModelFacts, MoreEvidence, Plan, TaskPlan

EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
PLAN = Plan(
    incumbent="dear",
    candidates=("cheap",),
    epsilon=0.05,
    delta=0.05,
    risk="traffic",
    loss="signed",
    signal="prompt",
    rows=1000,
    left_out={"of other models": 12},
    parts={"fit": 380, "tune": 80, "certify": 540},
    certified=True,
    reason="said",
    rungs=("cheap", "dear"),
    test="trinomial",
    p_value=0.03,
    loss_estimate=0.02,
    loss_upper=0.04,
    served_share=0.6,
    saving=0.55,
    dollars=5.5,
    incumbent_dollars=10.0,
    limit=0.6,
    gate_share=0.02,
    gate_cost=0.01,
    models=(ModelFacts("dear", 0.9, 0.01, False), ModelFacts("cheap", 0.7, 0.0005, True)),
    tasks=(
        TaskPlan("sums", 300, {"cheap": 1.0}, 0.9, 0.9, 0.95),
        TaskPlan("proofs", 200, {"cheap": 0.2}, 0.9, 0.6, 0.1),
        TaskPlan("", 40, {}, 0.9, 0.9, 0.0),
    ),
    curve=tuple(CurvePoint(1 - step / 10, 0.9 - 0.002 * step**2) for step in range(10)),
    random_mix=(CurvePoint(1.0, 0.9), CurvePoint(0.05, 0.7)),
    best_possible=(CurvePoint(0.3, 0.95), CurvePoint(0.1, 0.8)),
    operating_point=CurvePoint(0.45, 0.88),
    more=(MoreEvidence(2000, 0.6), MoreEvidence(4000, 0.62)),
    needed=None,
)
NOTHING = replace(
    PLAN, certified=False, reason="Not enough evidence: p = 0.3.", needed=4000, parts={}, tasks=(), curve=(),
    random_mix=(), best_possible=(), operating_point=None, more=(), saving=0.0, dollars=0.0, loss_upper=None,
    loss_estimate=None, served_share=0.0,
)  # fmt: skip


def shown(plan: Plan, monkeypatch: pytest.MonkeyPatch, *, width: int = 100, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    show_plan(plan)
    sys.stdout.flush()
    return raw.getvalue().decode(encoding)


def test_the_answer_comes_first_and_every_table_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    out = shown(PLAN, monkeypatch)
    said = " ".join(out.split())
    assert said.startswith("60% of requests can leave dear, and 55% of the dollars with them. Of 1,000 prompts, 540")
    assert "saves $5.50 of the $10.00" in said and "at most 0.040 points of score, with confidence 95%" in said
    assert "Some tasks lose more than 3ε by themselves: proofs 0.900 → 0.600 (200 prompts)." in said
    assert (
        "proofs 200 20%" in said
        and "(no task) 40 stays" in said
        and "4,000 62%" in said
        and "12 of other models" in said
    )
    assert "●" in out and re.search("[⠁-⣿]{5}", out)


@pytest.mark.parametrize(("width", "encoding"), [(40, "utf-8"), (100, "ascii")])
def test_a_narrow_or_plain_terminal_gets_letters(width: int, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = shown(PLAN, monkeypatch, width=width, encoding=encoding)
    assert not re.search("[⠁-⣿]", out)
    drawn = [line for line in out[: out.index("By task")].splitlines() if "|" in line[:9]]
    assert len(drawn) == 14 and {"w", "r", "b", "O", "I"} <= set("".join(drawn))
    assert max(len(line) for line in out.splitlines()) <= width


@pytest.mark.parametrize(("width", "encoding"), [(80, "utf-8"), (120, "utf-8"), (80, "ascii")])
def test_every_line_can_be_told_from_the_others_without_colours(
    width: int, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shown(PLAN, monkeypatch, width=width, encoding=encoding)
    legend = out[out.index("100%") : out.index("By task")]
    names = ("best possible, outcomes known beforehand", "random mix", "the ladder, strict to lax")
    samples = [re.search(f"(?:^|   )(\\S.{{5}}) {name}", legend, re.MULTILINE) for name in names]
    assert all(samples) and len({sample[1] for sample in samples if sample}) == 3, legend
    assert all(len(line) <= width for line in legend.splitlines())


def test_nothing_moves_and_it_says_how_much_more_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    said = " ".join(shown(NOTHING, monkeypatch).split())
    assert said.startswith("Nothing can move yet. On 1,000 prompts, no request can be moved from dear to cheap")
    assert "about 4,000 scored prompts in all, 3,000 more than there are" in said and "Certified" not in said
    never = plan_words.answer(replace(NOTHING, needed=None))
    assert "would probably not change that" in never
    page = report(NOTHING, "few.csv")
    assert "3,000 more than there are" in page and "polyline" not in page and "Certified" not in page


def test_names_from_outside_cannot_script_a_report_or_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    model = EVIL + "\x1b[31m[bold]{{ 7 * 7 }}"
    task = TaskPlan(EVIL, 100, {model: 0.5}, 0.9, 0.3, 0.5)
    plan = replace(
        PLAN, incumbent=model, candidates=(EVIL,), rungs=(EVIL, model), tasks=(task,), reason=EVIL,
        models=(ModelFacts(model, 0.9, 0.01, False),), left_out={EVIL: 1}, cost_sources={model: EVIL},
    )  # fmt: skip
    for one in (plan, replace(plan, certified=False)):
        page = report(one, EVIL)
        assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page and "{{ 7 * 7 }}" in page
        assert not re.search(r"<[^>]*\s(?:src|href|on\w+)=|url\(|@import", page)  # it runs and loads nothing
        out = shown(one, monkeypatch)
        assert "\x1b" not in out and "[bold]" in out


def test_points_of_the_report_lie_where_the_figures_say() -> None:
    page = report(PLAN, "file")
    drawn = picture_of(PLAN)
    assert drawn is not None and drawn.scores == (0.7, 0.75, 0.8, 0.85, 0.9, 0.95) and drawn.most_cost == 1.0
    x, y = 720 * 0.45, 300 * (0.95 - 0.88) / 0.25
    assert f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}"' in page
    assert page.count("<polyline") == 3 and page.count("<tr") >= 3 + 2 + 3


def test_a_canvas_draws_dots_where_they_belong() -> None:
    canvas = Canvas(3, 2, braille=True)
    canvas.line([(0.0, 0.0), (1.0, 0.0)], "x", "red")
    canvas.mark((1.0, 1.0), "*", "bold")
    assert [line.plain for line in canvas.lines()] == ["  *", "⣀⣀⣀"]
    dashed = Canvas(4, 1, braille=True)
    dashed.line([(0.0, 0.0), (1.0, 0.0)], "x", "red", (3, 2))
    assert [line.plain for line in dashed.lines()] == ["⣀⡀⢀⣀"]
    plain = Canvas(3, 3, braille=False)
    plain.line([(0.0, 0.0), (1.0, 1.0)], "x", "red")
    assert [line.plain for line in plain.lines()] == ["  x", " x ", "x  "]


def test_a_newcomer_is_told_what_to_type() -> None:
    models = [
        ModelInFile("best one", 10, 0.9, 0.01, False),
        ModelInFile("dearest", 10, 0.5, 0.05, False),
        ModelInFile("cheap", 10, 0.8, 0.001, True),
        ModelInFile("unknown", 10, 0.85, None, True),
        ModelInFile("cheapest", 10, 0.3, 0.0001, True),
    ]
    command = suggestion("my file.csv", models)[1]
    assert command.split(maxsplit=2)[2] == (
        "'my file.csv' --incumbent 'best one' --candidate cheap --candidate cheapest"
    )
    assert "--price" in suggestion("f", models[3:4])[0] and "nothing to save" in suggestion("f", models[:1])[0]
