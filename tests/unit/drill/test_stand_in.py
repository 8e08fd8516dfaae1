"""Who answers in a drill: the best that is owned, never what is cut, and nobody rather than a rented model."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest

from freehold.config import UpstreamSettings
from freehold.domain.chat import ChatRequest, parse_chat
from freehold.domain.drills import Drill
from freehold.domain.errors import NotFound
from freehold.domain.fingerprint import TemplateIndex, shape_of
from freehold.domain.policy import Ladder, LadderModel, Policy, Rung, TaskPolicy
from freehold.domain.traces import Api
from freehold.loop.drills import upstreams_of
from freehold.route import Identity, PolicyView, StudentAnswer
from freehold.route.drill import DrillView, stand_in_for, stand_in_of
from freehold.route.policy_view import key_of

OWN = UpstreamSettings(base_url="http://10.0.0.1:8000/v1", owned=True, keyless=True, models=("llama",))
UPSTREAMS = {
    "openai": UpstreamSettings(base_url="https://api.openai.com/v1"),
    "batch": UpstreamSettings(base_url="https://api.openai.com/v1", models=("gpt-b",)),
    "claude": UpstreamSettings(base_url="https://api.anthropic.com/v1", models=("claude-*",)),
    "own": OWN,
}
TASK = "task_1"


class Student:
    """Its signal and novelty are in the prompt; `crash` raises."""

    def __init__(self, name: str = "yes") -> None:
        self.name = name

    def input_tokens(self, prompt: str) -> int:
        return len(prompt)

    def output_tokens(self, text: str) -> int:
        return len(text)

    def answer(self, prompt: str) -> StudentAnswer:
        signal, novelty, *_ = prompt.split()
        return StudentAnswer(self.name, float(signal), float(novelty))


def request(text: str, **more: Any) -> ChatRequest:
    messages = [{"role": "system", "content": "Is it urgent?"}, {"role": "user", "content": text}]
    return parse_chat(json.dumps({"model": "gpt", "messages": messages, **more}).encode())


FINGERPRINT = shape_of(request("x")).fingerprint
KNOWN = Identity(TASK, "", FINGERPRINT)


def drill(**changes: Any) -> Drill:
    plain = Drill(
        drill_id="dr_1",
        without=("openai",),
        upstreams=("openai", "batch"),
        since_ns=10,
        until_ns=20,
        wanted_seconds=1,
        created_ns=1,
        updated_ns=1,
    )
    return msgspec.structs.replace(plain, **changes)


def view(stand_in: str = "", **upstreams: UpstreamSettings) -> DrillView:
    return DrillView(drill(), {**UPSTREAMS, **upstreams}, stand_in)


def rung(name: str = "st_1", threshold: float = 0.8) -> Rung:
    return Rung(
        student=name,
        path="",
        sha256=name,
        threshold=threshold,
        novelty_limit=0.5,
        certificate=f"ce_{name}",
        fingerprints=(FINGERPRINT,),
    )


def policy(*rungs: Rung, ladder: Ladder | None = None, **students: Student) -> PolicyView:
    entry = TaskPolicy(task=TASK, rungs=rungs, audit_rate=0.9, repeat_rate=0.9, ladder=ladder)
    found = {key_of(one): students.get(one.student, Student(one.student)) for one in rungs}
    return PolicyView(Policy(version=1, tasks={TASK: entry}), TemplateIndex(()), found)


def test_a_rung_that_accepts_answers_as_certified_and_one_below_its_threshold_as_not() -> None:
    accepted = stand_in_for(view("llama"), policy(rung()), KNOWN, request("0.9 0.1 a"), "chat")
    assert (accepted.outcome, accepted.name, accepted.answer) == ("certified", "student/st_1", "st_1")
    assert accepted.certificate == "ce_st_1"
    for text in ("0.1 0.1 unsure", "0.9 0.9 novel"):
        below = stand_in_for(view("llama"), policy(rung()), KNOWN, request(text), "chat")
        assert (below.outcome, below.name, below.certificate) == ("uncertified", "student/st_1", None)


def test_of_several_students_the_surest_answers() -> None:
    class Sure(Student):
        def answer(self, prompt: str) -> StudentAnswer:
            return StudentAnswer("sure", 0.5, 0.0)

    two = policy(rung("st_1"), rung("st_2", 0.9), st_2=Sure())
    assert stand_in_for(view(), two, KNOWN, request("0.2 0.1 a"), "chat").answer == "sure"
    assert stand_in_for(view(), two, KNOWN, request("0.6 0.1 a"), "chat").answer == "st_1"


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("0.9 0.1 a", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("0.9 0.1 a", {"n": 2}),
        ("crash", {}),
    ],
)
def test_what_the_student_cannot_give_goes_to_the_stand_in_and_to_nobody_without_one(
    text: str, more: dict[str, Any]
) -> None:
    found = stand_in_for(view("llama"), policy(rung()), KNOWN, request(text, **more), "chat")
    assert (found.outcome, found.upstream, found.model, found.name) == ("stand-in", "own", "llama", "own/llama")
    nobody = stand_in_for(view(), policy(rung()), KNOWN, request(text, **more), "chat")
    assert nobody.outcome is None and "stand_in" in nobody.why


def test_a_call_that_the_student_does_not_know_and_a_student_that_is_gone_go_to_the_stand_in() -> None:
    stranger = Identity(TASK, "", "fp_other")
    assert stand_in_for(view("llama"), policy(rung()), stranger, request("0.9 0.1 a"), "chat").outcome == "stand-in"
    gone = PolicyView(policy(rung()).policy, TemplateIndex(()), {})
    assert stand_in_for(view("llama"), gone, KNOWN, request("0.9 0.1 a"), "chat").outcome == "stand-in"


def test_of_a_ladder_the_dearest_owned_model_answers_and_never_a_rented_one() -> None:
    models = tuple(LadderModel(name=name) for name in ("small", "llama", "claude-haiku"))
    ladder = Ladder(
        router="ro_1",
        path="",
        sha256="",
        models=models,
        signal="cascade",
        certificate="ce_l",
        fingerprints=(FINGERPRINT,),
    )
    more = {"mini": msgspec.structs.replace(OWN, models=("small",))}
    found = stand_in_for(view("", **more), policy(ladder=ladder), KNOWN, request("x"), "chat")
    assert (found.outcome, found.upstream, found.model, found.certificate) == ("uncertified", "own", "llama", None)
    without = UPSTREAMS | more | {"own": msgspec.structs.replace(OWN, owned=False)}
    rented = DrillView(drill(), without, "")
    assert stand_in_for(rented, policy(ladder=ladder), KNOWN, request("x"), "chat").model == "small"
    cut = DrillView(drill(upstreams=("openai", "mini", "own")), UPSTREAMS | more, "")
    assert stand_in_for(cut, policy(ladder=ladder), KNOWN, request("x"), "chat").outcome is None


@pytest.mark.parametrize("api", get_args(Api))
def test_no_stand_in_is_asked_for_vectors_or_a_providers_own_endpoints(api: Api) -> None:
    found = stand_in_for(view("llama"), policy(), None, None, api)
    if api in ("embeddings", "other"):
        assert found.outcome is None and ("Vectors" in found.why or "endpoint" in found.why)
    else:
        assert found.outcome == "stand-in"


def test_a_stand_in_must_be_owned_reachable_and_not_cut() -> None:
    none = frozenset[str]()
    assert stand_in_of(UPSTREAMS, "llama", none)[0] == ("own", "llama")
    for name, changed, said in (
        ("", OWN, "No stand-in is configured"),
        ("llama", msgspec.structs.replace(OWN, keyless=False), "no key of its own"),
        ("llama", msgspec.structs.replace(OWN, owned=False), "owned = true"),
    ):
        target, why = stand_in_of(UPSTREAMS | {"own": changed}, name, none)
        assert target is None and said in why
    assert "the drill cuts" in stand_in_of(UPSTREAMS, "llama", frozenset(("own",)))[1]


def test_a_drill_takes_its_share_of_what_is_cut_while_it_lasts() -> None:
    seen = DrillView(drill(share=0.5, task=TASK), UPSTREAMS, "")
    assert seen.takes("openai", TASK, 10, lambda: 0.49) and not seen.takes("openai", TASK, 10, lambda: 0.51)
    assert not seen.takes("claude", TASK, 10, lambda: 0.0)
    assert not seen.takes("openai", "task_2", 10, lambda: 0.0)
    assert not seen.takes("openai", TASK, 20, lambda: 0.0) and not seen.takes("openai", TASK, 9, lambda: 0.0)
    stopped = DrillView(drill(state="stopped"), UPSTREAMS, "")
    assert not stopped.takes("openai", TASK, 10, lambda: 0.0)


def test_a_provider_is_all_its_upstreams() -> None:
    for name in ("openai", "batch", "api.openai.com", "openai-api"):
        assert upstreams_of(UPSTREAMS, (name,)) == ("openai", "batch")
    assert upstreams_of(UPSTREAMS, ("claude",)) == upstreams_of(UPSTREAMS, ("anthropic",)) == ("claude",)
    assert upstreams_of(UPSTREAMS, ("own", "openai")) == ("openai", "batch", "own")
    for name in ("10", "com", "unknown", "nobody", ""):
        with pytest.raises(NotFound, match="No upstream"):
            upstreams_of(UPSTREAMS, (name,))
