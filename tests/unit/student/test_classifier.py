"""The classical student: repeatable, bounded, and never the author of an answer the incumbent has not given."""

from __future__ import annotations

import json
import random
import string
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loop_fixtures import Desk, urgency
from safetensors.numpy import save

from freehold.domain.errors import StudentError
from freehold.store.artifacts import read_student
from freehold.train.classifier import Fitted, field_values, fit_classifier
from freehold.train.style import learn_style
from freehold.upstreams.student import Classifier, Manifest, build_classifier

ODD_PROMPTS = (
    "",
    " \n\t",
    "?" * 500,
    "🙂🎉👩‍👩‍👧 urgent 🙂",
    "שלום, זה דחוף מאוד! مرحبا هذا عاجل",
    "\u202eevil\u202c \u0000 \ufffd",
    "word " * 200_000,
    "x" * 1_000_000,
    "İSTANBUL ß ﬁ Ǆ ı",
    "'" * 1000,
)


def fit(
    rows: list[tuple[str, str]], kind: str, paths: list[tuple[str, ...]], seed: int = 0
) -> tuple[Classifier, Fitted]:
    """A student fitted on rows of prompt and answer."""
    answers = [answer for _, answer in rows]
    fitted = fit_classifier([prompt for prompt, _ in rows], [field_values(kind, paths, a) for a in answers], seed)
    manifest = Manifest(
        task="task_x",
        dataset="ds_x",
        dataset_sha256="",
        seed=seed,
        heads=fitted.heads,
        style=learn_style(kind, answers)[0],
        input_tokens_fixed=5.0,
        input_tokens_per_character=0.25,
        output_tokens_per_character=0.25,
    )
    return build_classifier(msgspec.to_builtins(manifest), fitted.tensors), fitted


def test_the_same_rows_and_seed_give_the_same_bytes_and_another_seed_other_folds() -> None:
    rows = urgency(1, 150)
    first, again, other = (fit(rows, "label", [()], seed)[1] for seed in (1, 1, 2))
    assert save(first.tensors) == save(again.tensors)
    assert first.signals.tobytes() == again.signals.tobytes() and first.wrong.tobytes() == again.wrong.tobytes()
    assert first.signals.tobytes() != other.signals.tobytes()


def test_it_learns_what_can_be_learnt_and_its_signal_ranks_its_mistakes() -> None:
    rows = urgency(1, 700)
    student, fitted = fit(rows[:500], "label", [()])
    answers = [student.answer(prompt) for prompt, _ in rows[500:]]
    right = np.array([answer.text == reference for answer, (_, reference) in zip(answers, rows[500:], strict=True)])
    assert right.mean() > 0.85
    assert right.mean() == pytest.approx(1 - fitted.wrong.mean(), abs=0.08), "cross-fitted agreement foretells it"
    signals = np.array([answer.signal for answer in answers])
    assert signals[right].mean() > signals[~right].mean()


def test_constant_binary_and_optional_fields() -> None:
    rng = random.Random(4)
    rows: list[tuple[str, str]] = []
    for _ in range(150):
        vip, lang = rng.random() < 0.5, rng.choice(["de", "en", "fr"])
        answer: dict[str, Any] = {"version": 1, "route": {"lang": lang}, "hot": vip}
        if vip:
            answer["note"] = "vip"
        rows.append(
            (
                f"{'our vip guest' if vip else 'somebody'} speaks {lang} {rng.choice(string.ascii_lowercase)}",
                json.dumps(answer),
            )
        )
    paths = [("hot",), ("note",), ("route", "lang"), ("version",)]
    student, _ = fit(rows, "json", paths)
    assert student.answer("our vip guest speaks fr q").text == json.dumps(
        {"version": 1, "route": {"lang": "fr"}, "hot": True, "note": "vip"}
    )
    assert student.answer("somebody speaks de q").text == json.dumps(
        {"version": 1, "route": {"lang": "de"}, "hot": False}
    )


def test_a_single_answer_and_answers_seen_once_are_the_only_ones_it_gives() -> None:
    constant, _ = fit([(f"message {n}", "yes") for n in range(40)], "label", [()])
    assert {constant.answer(prompt).text for prompt in ODD_PROMPTS} == {"yes"}
    rare, _ = fit([("a b c", "red"), ("d e f", "blue")], "label", [()])
    assert rare.answer("a b c").text in ("red", "blue")


def test_rows_whose_answer_has_not_the_form_are_never_counted_as_right() -> None:
    rows = [(f"message {n} {'up' if n % 2 else 'down'}", json.dumps({"a": n % 2})) for n in range(100)]
    rows += [(f"message {n} up", "I am sorry, I cannot.") for n in range(20)]
    _, fitted = fit(rows, "json", [("a",)])
    assert fitted.wrong[-20:].all() and fitted.wrong[:100].mean() < 0.1


@pytest.mark.parametrize("prompt", ODD_PROMPTS, ids=range(len(ODD_PROMPTS)))
def test_odd_prompts_get_a_known_answer(owned_desk: Desk, prompt: str) -> None:
    student = _promoted(owned_desk)
    answer = student.answer(prompt)
    assert answer.text in ("yes", "no")
    assert 0.0 <= answer.signal <= 1.0 and 0.0 <= answer.novelty <= 1.0
    assert student.answer(prompt) == answer
    assert student.input_tokens(prompt) >= 0 and student.output_tokens(answer.text) >= 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=60))
def test_any_text_gets_a_known_answer_and_a_bounded_signal(owned_desk: Desk, prompt: str) -> None:
    answer = _promoted(owned_desk).answer(prompt)
    assert answer.text in ("yes", "no") and 0.0 <= answer.signal <= 1.0 and 0.0 <= answer.novelty <= 1.0


def test_a_stranger_is_novel_and_a_customer_is_not(owned_desk: Desk) -> None:
    rung = owned_desk.rung
    assert rung is not None
    student = owned_desk.student(rung)
    assert student.answer("Quantum chromodynamics perturbs baryonic lattices.").novelty > rung.novelty_limit
    usual = [student.answer(prompt).novelty for prompt, _ in urgency(77, 100)]
    assert np.mean(np.array(usual) <= rung.novelty_limit) > 0.9


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda m, t: t.pop("idf"), "missing tensor"),
        (lambda m, t: t.update(bias=t["bias"][:, :1]), "wrong shape"),
        (lambda m, t: t.update(second=t["second"][:, :3]), "wrong second stage"),
        (lambda m, t: t.update(vocabulary=np.array([255, 254], np.uint8)), "not text"),
        (lambda m, t: m.update(heads=[]), "no heads"),
        (lambda m, t: m.update(style={"kind": "label", "indent": "x"}), "wrong style"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(owned_desk: Desk, damage: Any, what: str) -> None:
    rung = owned_desk.rung
    assert rung is not None
    manifest, tensors = read_student(owned_desk.store.data / rung.path, rung.sha256)
    damage(manifest, tensors)
    with pytest.raises(StudentError, match="do not fit together"):
        build_classifier(manifest, tensors)


def _promoted(desk: Desk) -> Classifier:
    assert desk.rung is not None
    return desk.student(desk.rung)
