"""A certified generative student passes from stage to stage by what was recorded of it, or is withdrawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from monitor_fixtures import BEGIN, DAY, SECOND, Watched, certificate

from freehold.config import RolloutSettings, StudentSettings
from freehold.domain.policy import Policy, Rung
from freehold.domain.traces import Trace
from freehold.loop.rollout import pass_stages
from freehold.monitor import watch

NOW = BEGIN + 30 * DAY
ROLLOUT = RolloutSettings(shadow_requests=20, canary_share=0.25, canary_audits=10)


def completion(text: str, total: float) -> bytes:
    choice = {"message": {"content": text}, "finish_reason": "stop", "logprobs": {"total": total}}
    return msgspec.json.encode({"choices": [choice]})


class Stage:
    """One task whose student is in some stage."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.desk = Watched(folder, certificate("t"))
        self.settings = msgspec.structs.replace(self.desk.settings, students=StudentSettings(rollout=ROLLOUT))
        control = self.desk.store.control
        policy = control.current_policy()
        rung = msgspec.structs.replace(policy.tasks["t"].rungs[0], kind="generative", stage=stage)
        entry = msgspec.structs.replace(policy.tasks["t"], rungs=(rung,))
        control.publish_policy(Policy(tasks={"t": entry}), policy.version)
        self._number = 0

    @property
    def rung(self) -> Rung | None:
        rungs = self.desk.store.control.current_policy().tasks["t"].rungs
        return rungs[0] if rungs else None

    def shadowed(self, answer: str, *, total: float = -0.01, status: int = 200) -> None:
        """One request that the incumbent answered `yes` to, and the student unseen."""
        self._number += 1
        at = BEGIN + self._number * SECOND
        question = b'{"model":"gpt","messages":[{"role":"user","content":"what?"}]}'
        request = Trace(
            trace_id=f"tr_{self._number:028x}", at_ns=at, task="t", model="gpt", answered_by="inc/gpt", policy=1,
            reason="shadow", status=200, request=question, response=completion("yes", 0.0),
        )  # fmt: skip
        shadow = msgspec.structs.replace(
            request, trace_id=f"tr_{self._number + 5000:028x}", kind="shadow", of=request.trace_id, owned=True,
            answered_by="student/st_t", status=status, response=completion(answer, total) if status == 200 else b"",
        )  # fmt: skip
        self.desk._traces += [request, shadow]

    def look(self) -> tuple[str, ...]:
        self.desk.seal()
        return pass_stages(self.desk.store, self.settings, NOW)

    def events(self) -> list[str]:
        return [event.kind for event in self.desk.store.control.events(10, "t")]


@pytest.fixture
def shadow(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, "shadow")
    yield made
    made.desk.close()


def test_it_stays_unseen_until_it_has_been_asked_often_enough(shadow: Stage) -> None:
    for _ in range(19):
        shadow.shadowed("yes")
    assert shadow.look() == () and shadow.rung is not None and shadow.rung.stage == "shadow"
    shadow.shadowed("yes")
    assert shadow.look() == () and shadow.rung.stage == "canary" and shadow.rung.share == 0.25
    assert "stage-passed" in shadow.events()


def test_one_that_is_wrong_is_withdrawn_before_anybody_saw_it(shadow: Stage) -> None:
    for number in range(20):
        shadow.shadowed("no" if number % 2 else "yes")
    assert shadow.look() == ("t",) and shadow.rung is None and "rolled-back" in shadow.events()


def test_what_it_is_not_sure_of_does_not_count(shadow: Stage) -> None:
    for number in range(20):
        shadow.shadowed("no" if number % 2 else "yes", total=-5.0 if number % 2 else -0.01)
    assert shadow.look() == () and shadow.rung is not None and shadow.rung.stage == "canary"


def test_a_server_that_has_to_start_is_waited_for(shadow: Stage) -> None:
    for number in range(60):
        shadow.shadowed("yes", status=200 if number >= 40 else 0)
        if number == 39:
            assert shadow.look() == () and shadow.rung is not None and shadow.rung.stage == "shadow"
    assert shadow.look() == () and shadow.rung is not None and shadow.rung.stage == "canary"


def test_one_that_gives_no_answers_is_withdrawn(shadow: Stage) -> None:
    for number in range(200):
        shadow.shadowed("yes", status=200 if number % 4 else 0)
    assert shadow.look() == ("t",) and shadow.rung is None
    task = shadow.desk.store.control.tasks.get("t")
    assert task is not None and "gave no answer to 5 of 20" in task.note


def test_after_enough_audits_of_the_canary_it_answers_all(tmp_path: Path) -> None:
    canary = Stage(tmp_path, "canary")
    desk = canary.desk
    desk.right_or_wrong("t", BEGIN, [False] * 6, [0.999] * 6)
    watch(desk.store, desk.certificates["t"], NOW)
    assert canary.look() == () and canary.rung is not None and canary.rung.stage == "canary"
    desk.right_or_wrong("t", BEGIN + DAY, [False] * 6, [0.999] * 6)
    watch(desk.store, desk.certificates["t"], NOW)
    assert canary.look() == () and canary.rung.stage == "full" and canary.rung.share == 1.0
    desk.close()
