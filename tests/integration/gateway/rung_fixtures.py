"""A fitted ladder of one cheap model over generated outcomes, recorded servers of both models, a gateway over them.

Sums are what the cheap model does as well as the incumbent, proofs what it fails at: a prompt tells which it is. Of
riddles it gets every other one, and only its answer tells: `Answer: N` where it is right, a ramble where it is not.
"""

import json
import random
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from gateway_fixtures import post, raw, settings, split, upstream
from threadpoolctl import threadpool_limits
from waiting import wait_for

from freehold.config import CandidateSettings, Price, UpstreamSettings
from freehold.domain.chat import parse_chat
from freehold.domain.fingerprint import shape_of, task_id_of_fingerprint
from freehold.domain.policy import Ladder, LadderModel, Policy, TaskPolicy
from freehold.gateway import RunningGateway, serve_in_thread
from freehold.signals.ladder import Step
from freehold.signals.outcomes import Outcomes
from freehold.signals.router import RouterManifest
from freehold.signals.text import hash_text
from freehold.store import ControlStore
from freehold.store.artifacts import write_router
from freehold.train.ladder import fit_ladders, prepare
from freehold.upstreams.recorded import RecordedAnswer

SYSTEM = {"role": "system", "content": "Solve the problem."}
SUM, PROOF, LUCKY, UNLUCKY = "Add 17 and 4.", "Prove the lemma of the tower.", "Riddle 8 of the river?", "Riddle 9?"
STRANGER = "Übersetze bitte zwölf Gedichte übers Meer ins Schwäbische, möglichst wörtlich!"
RAMBLE = "Let me think about the river and the tower, and then about many other things. " * 8
BIG_PRICES, SMALL_PRICES = {"*": Price(input=1.0, output=2.0)}, {"*": Price(input=0.1, output=0.2)}
Signal = Literal["prompt", "cascade"]


def body(text: str, model: str = "big", **more: object) -> bytes:
    return json.dumps({"model": model, "messages": [SYSTEM, {"role": "user", "content": text}], **more}).encode()


FINGERPRINT = shape_of(parse_chat(body("x"))).fingerprint
TASK = task_id_of_fingerprint(FINGERPRINT)


def prompts() -> list[str]:
    draw, words = random.Random(5), ["river", "tower", "candle", "window", "letter", "garden", "bridge", "mirror"]
    sums = [f"Add {draw.randint(1, 99)} and {draw.randint(1, 99)}." for _ in range(60)]
    proofs = [f"Prove the lemma of the {draw.choice(words)} {n}." for n in range(60)]
    riddles = [f"Riddle {n} of the {draw.choice(words)}?" for n in range(60)]
    return [*sums, *proofs, *riddles, SUM, PROOF, LUCKY, UNLUCKY]


def small_answer(prompt: str) -> str:
    right = prompt.startswith("Add") or (prompt.startswith("Riddle") and int(prompt.rstrip("?").split()[1]) % 2 == 0)
    return f"Answer: {len(prompt)}" if right else RAMBLE


def recorded(model: str, *, logprob: float | None = None) -> Iterable[RecordedAnswer]:
    for prompt in dict.fromkeys((*prompts(), STRANGER)):
        answer = small_answer(prompt) if model == "small" else f"The answer of big: {len(prompt)}"
        yield RecordedAnswer(
            prompt=prompt, response=answer, model=model, input_tokens=100, output_tokens=50, logprob=logprob
        )


def student_answer(prompt: str) -> str:
    """The student knows every other riddle that the cheap model knows, and nothing else."""
    known = prompt.startswith("Riddle") and int(prompt.rstrip("?").split()[1]) % 4 == 0
    return small_answer(prompt) if known else "I do not know, and it would be long to explain. " * 4


def riddle(number: int) -> str:
    """The riddle of that number."""
    return next(prompt for prompt in prompts() if prompt.startswith(f"Riddle {number} "))


@cache
def fitted(signal: Signal, *, student: bool = False) -> tuple[RouterManifest, dict[str, np.ndarray[Any, Any]]]:
    """A router of `big` over `small` (and a student before it), at four calls of the incumbent's a point of score."""
    texts = prompts()
    answers = {"small": [small_answer(text) for text in texts]}
    prices = [0.0002, 0.00002]
    if student:
        answers = {"student/st_1": [student_answer(text) for text in texts], **answers}
        prices = [0.0002, 0.0, 0.00002]
    right = answers["small"]
    scores = np.array(
        [[1.0, *(float(given[row] == right[row] != RAMBLE) for given in answers.values())] for row in range(len(texts))]
    )
    costs = np.tile(prices, (len(texts), 1))
    names = ("big", *answers)
    outcomes = Outcomes(texts, texts, [""] * len(texts), names, scores, costs, (right, *answers.values()))
    order = tuple(range(1, len(names)))
    with threadpool_limits(1):  # small matrices: threads cost more than they bring
        rows = prepare(outcomes, [hash_text(text) for text in texts], signal)
        found, (ladder,) = fit_ladders(rows, signal, rungs=[order])[:2]
    manifest = RouterManifest(
        models=outcomes.models,
        rungs=ladder.rungs,
        signal=signal,
        spreads=ladder.spreads,
        novelty_limit=0.9,
        mean_cost=0.0002,
        step=Step(price=4.0, offset=0.0),
        prompts=found.manifest,
    )
    return manifest, {**found.tensors, "answers": ladder.weights, "answer_means": ladder.means}


class Running(NamedTuple):
    gateway: RunningGateway
    control: ControlStore
    data: Path

    def publish(self, signal: Signal | None, *, usable: bool = True, **more: Any) -> None:
        """Put a ladder in force (None: take it out), and wait until it is."""
        entry = TaskPolicy(task=TASK, audit_rate=more.pop("audit_rate", 0.001), ladder=None)
        if signal is not None:
            entry = TaskPolicy(task=TASK, audit_rate=entry.audit_rate, ladder=self.stored(signal, **more))
        policy = Policy(reason="test", tasks={TASK: entry})
        version = self.control.publish_policy(policy, self.control.policy_version()).version
        watch = self.gateway.runtime.watch
        wait_for(lambda: watch.view.policy.version == version)
        if signal is not None:
            wait_for(lambda: TASK in (watch.view.ladders if usable else watch.view.unusable))

    def stored(self, signal: Signal, *, student: bool = False, **more: Any) -> Ladder:
        name = f"{signal}_{student}".lower()
        digest = write_router(self.data / "routers" / name, *fitted(signal, student=student))
        if student:
            first = LadderModel(name="student/st_1", path="students/st_1", sha256="0" * 64)
            more["models"] = (first, LadderModel(name="small"))
        fields: dict[str, Any] = {"fingerprints": (FINGERPRINT,), "models": (LadderModel(name="small"),), **more}
        return Ladder(
            router=f"ro_{name}",
            path=f"routers/{name}",
            sha256=digest,
            signal=signal,
            certificate="ce_1",
            **fields,
        )

    def ask(self, text: str, headers: str = "", **more: Any) -> tuple[dict[str, str], bytes]:
        status, found, answer = split(raw(self.gateway.url, post(body(text, **more), headers=headers)))
        assert status == 200, answer
        return found, answer


def text_of(answer: bytes) -> str:
    """The text of an answer, streamed or not."""
    if not answer.startswith(b"data:"):
        return json.loads(answer)["choices"][0]["message"]["content"]
    assert answer.endswith(b"data: [DONE]\n\n")
    events = [json.loads(line[6:]) for line in answer.decode().splitlines() if line.startswith("data: {")]
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])


@contextmanager
def running(
    data: Path,
    big: str,
    small: str,
    *,
    candidates: CandidateSettings | None = None,
    cheap: dict[str, object] | None = None,
    **gateway: object,
) -> Generator[Running]:
    """A gateway over an upstream of `big` and, keyless unless `cheap` says otherwise, one of `small`."""
    own: dict[str, object] = {"keyless": True, "prices": SMALL_PRICES, **(cheap or {})}
    chosen = settings(
        data,
        {"main": upstream(big, ["big"], prices=BIG_PRICES), "cheap": upstream(small, ["small"], **own)},
        **gateway,
    )
    if candidates is not None:
        chosen = type(chosen)(
            gateway=chosen.gateway, upstreams=chosen.upstreams, data_dir=chosen.data_dir, candidates=candidates
        )
    control = ControlStore.open(chosen.control_url)
    with serve_in_thread(chosen) as server:
        yield Running(server, control, data)
    control.close()


def priced() -> dict[str, UpstreamSettings]:
    """What the ledger must know of the upstreams."""
    return {
        "main": UpstreamSettings(base_url="http://127.0.0.1:1/v1", models=("big",), prices=BIG_PRICES),
        "cheap": UpstreamSettings(base_url="http://127.0.0.1:1/v1", models=("small",), prices=SMALL_PRICES),
    }
