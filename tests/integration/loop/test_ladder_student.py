"""A task that a student answers: the student becomes a rung of the ladder that saves more."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from ladder_fixtures import CHEAP, INCUMBENT, Question, Recorded, ladder_settings
from loop_fixtures import urgency

from freehold.curate import build_scored, load_outcomes
from freehold.curate.samples import fold
from freehold.evaluate import verify_certificate
from freehold.loop import LadderMove, Loop, Move, new_ladder, new_move
from freehold.loop.ladder_move import candidate_student
from freehold.store.artifacts import read_dataset

OTHER = {"yes": "no", "no": "yes"}


def _messages(seed: int, n: int) -> list[tuple[str, str]]:
    """Messages whose urgency shows, and, two of five, some whose urgency nobody can learn from others."""
    rng = random.Random(seed)
    hidden = [(f"About my order {rng.randrange(10**9)} again", rng.choice(("yes", "no"))) for _ in range(2 * n // 5)]
    rows = [*urgency(seed, n - len(hidden)), *hidden]
    rng.shuffle(rows)
    return rows


def _ask(desk: Recorded, rows: list[tuple[str, str]], *, shadowed: bool, seed: int = 1) -> None:
    rng = random.Random(seed)
    for prompt, answer in rows:
        small = answer if rng.random() < 0.99 else OTHER[answer]
        question = Question(prompt, {INCUMBENT: answer, CHEAP: small})
        # Under a policy that no worker could read: the incumbent answers whatever the student thinks of it.
        changes: dict[str, Any] = {"reason": "policy-stale"} if shadowed else {}
        desk.record(question, models=(CHEAP,) if shadowed else (), **changes)
    desk.seal()


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = ladder_settings(tmp_path_factory.mktemp("owned"), candidates=(CHEAP,), epsilon=0.1, min_samples=600)
    settings = msgspec.structs.replace(
        settings, candidates=msgspec.structs.replace(settings.candidates, signals=("prompt",), min_rows=10_000)
    )
    desk = Recorded(settings)
    _ask(desk, _messages(1, 1200), shadowed=False)
    Loop(desk.store, settings).until_idle()
    yield desk
    desk.close()


def test_the_student_becomes_a_rung_beside_the_cheap_model(owned: Recorded) -> None:
    before = owned.store.control.current_policy().tasks[owned.task_id]
    student = candidate_student(owned.store, owned.task)
    assert student is not None and before.rungs[0].student == student.student_id
    repeated = _messages(1, 1200)[:100]
    _ask(owned, [*_messages(2, 1000), *repeated], shadowed=True)
    scored = build_scored(owned.store, owned.settings, owned.task_id, student, 10**18)
    assert scored.models == (INCUMBENT, f"student/{student.student_id}", CHEAP)
    assert scored.left_out["the student was fitted on it"] > 20, "62% of what it has seen before"
    dataset = owned.store.control.datasets.get(student.dataset_id)
    assert dataset is not None
    samples = read_dataset(owned.store.data / dataset.path, dataset.sha256)
    seen = {fold(sample.prompt) for sample in samples if sample.part == "fit"}
    outcomes, parts = load_outcomes(owned.store.data, scored.outcomes)
    flattered = [row for row, prompt in enumerate(outcomes.prompts) if fold(prompt) in seen]
    assert all(parts[row] == "certify" and outcomes.scores[row, 1] == 0.0 for row in flattered)
    assert outcomes.costs[:, 1].max() == 0.0
    job = LadderMove(owned.store, owned.settings, new_ladder(owned.store, owned.task_id)).run()
    results = {step.name: step.result for step in job.steps}
    entry = owned.store.control.current_policy().tasks[owned.task_id]
    assert entry.ladder is not None and entry.rungs == (), results
    models = {model.name: model for model in entry.ladder.models}
    assert set(models) == {f"student/{student.student_id}", CHEAP}
    assert models[f"student/{student.student_id}"].sha256 == student.sha256
    assert results["certify"]["saving"] > 0.8
    certificate = owned.store.control.certificates.get(entry.ladder.certificate)
    assert certificate is not None and certificate.attempt == 2, "one counter for students and ladders"
    assert verify_certificate(owned.store, certificate.certificate_id).holds
    again = Move(owned.store, owned.settings, new_move(owned.store, owned.task_id)).run()
    assert "In force: a ladder" in again.steps[-1].result["reason"], "no student alone saves as much"
