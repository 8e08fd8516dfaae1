"""A cascade in the loop looks at what is known of answers besides their texts: how sure a model was of its tokens, and
whether it agrees with itself."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
import pytest
from ladder_fixtures import CHEAP, INCUMBENT, Question, Recorded, ladder_settings

from freehold.domain.evidence import Certificate
from freehold.evaluate import verify_certificate
from freehold.loop import LadderMove, new_ladder
from freehold.store.artifacts import read_router
from freehold.store.evidence import OUTCOMES, evidence_folder

CITIES = ("Paris", "Rome", "Oslo", "Bern", "Lima", "Cairo")


def _completion(text: str, logprob: float | None) -> bytes:
    tokens = None if logprob is None else {"content": [{"token": "a", "logprob": logprob}] * 2}
    choice = {"message": {"content": text}, "finish_reason": "stop", "logprobs": tokens}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 40, "completion_tokens": 2}}).encode()


def _recorded(folder: Path, *, logprobs: bool, samples: int) -> Recorded:
    """Prompts say nothing of how hard they are: the cheap model knows 60% of the answers, and guesses the others."""
    settings = ladder_settings(folder, candidates=(CHEAP,))
    candidates = msgspec.structs.replace(
        settings.candidates, signals=("cascade",), logprobs=logprobs, samples=samples, risk="traffic"
    )
    made = Recorded(msgspec.structs.replace(settings, candidates=candidates))
    rng = random.Random(5)
    for number in range(900):
        right, knows = rng.choice(CITIES), rng.random() < 0.6
        trace = made.trace(Question(f"Which city is number {number}?", {INCUMBENT: right}), INCUMBENT)
        sure = rng.gauss(-0.1, 0.05) if knows else rng.gauss(-1.5, 0.5)
        for _ in range(samples):
            said = right if knows else rng.choice(CITIES)
            made.trace(
                Question(f"Which city is number {number}?", {}),
                CHEAP,
                kind="shadow",
                of=trace.trace_id,
                reason="",
                audit_probability=0.5,
                response=_completion(said, sure if logprobs else None),
            )
    made.seal()
    return made


def _certified(desk: Recorded) -> Certificate | None:
    job = LadderMove(desk.store, desk.settings, new_ladder(desk.store, desk.task_id), eager=True).run()
    found = next((step.result["certificate"] for step in job.steps if step.name == "certify"), None)
    return desk.store.control.certificates.get(found) if found else None


@pytest.mark.parametrize(("logprobs", "samples"), [(True, 1), (False, 4)])
def test_what_a_model_shows_of_its_doubts_moves_what_its_words_cannot(
    logprobs: bool, samples: int, tmp_path: Path
) -> None:
    desk = _recorded(tmp_path, logprobs=logprobs, samples=samples)
    certificate = _certified(desk)
    assert certificate is not None and 0.4 < certificate.coverage < 0.75
    ladder = desk.store.control.current_policy().tasks[desk.task_id].ladder
    assert ladder is not None and (ladder.signal, ladder.logprobs, ladder.samples) == ("cascade", logprobs, samples)
    manifest, _ = read_router(desk.store.data / ladder.path, ladder.sha256)
    assert (manifest["logprobs"], manifest["samples"], manifest["validity"]) == (logprobs, samples, False)

    done = verify_certificate(desk.store, certificate.certificate_id)
    checks = {check.name: check.passed for check in done.checks}
    assert checks["answers"] is True and done.holds, done.checks
    answers = evidence_folder(desk.store.data / "evidence", certificate.evidence_sha256) / OUTCOMES
    answers.write_bytes(answers.read_bytes()[:-1] + b"?")
    failed = {check.name for check in verify_certificate(desk.store, certificate.certificate_id).failed}
    assert failed == {"evidence"}
    desk.close()


def test_without_them_it_moves_no_more_than_chance_allows(tmp_path: Path) -> None:
    desk = _recorded(tmp_path, logprobs=False, samples=1)
    certificate = _certified(desk)
    assert certificate is None or certificate.coverage < 0.05 / (0.4 * 5 / 6) + 0.05  # ε over the loss of each moved
    desk.close()
