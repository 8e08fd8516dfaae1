"""What the real loop certifies of recorded exchanges: `ticket` must be owned to 80% at ε = 0.02, `units` refused.

    OMP_WAIT_POLICY=PASSIVE python -m bench.students.loop ticket [--seed 1] [--epsilon 0.02] [--exchanges 5000]

The exchanges of a stand-in incumbent, 2% of them wrong, are written into a data folder's journal as a gateway records
them, in phrasings of all kinds; then the loop takes its turns until nothing is due: recognise, curate, train with the
recipe `tiny`, evaluate, certify, publish. One JSON object tells what became of the task: its state, every attempt, the
certified share of requests that the student may answer (`coverage`), and how often the student is right by the truth
among what it may answer of 500 requests that the loop has never seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from bench.students.quality import Spent
from bench.students.workloads import EXCHANGES, HELD_OUT, MISTAKES, NAMES, WORKLOADS, Exchange, Question, right

from freehold.config import LoopSettings, Settings, TaskSettings, UpstreamSettings, configure_logs
from freehold.demo.shop import write_books
from freehold.domain.chat import parse_chat
from freehold.domain.fingerprint import shape_of, task_id_of_name
from freehold.domain.policy import Rung
from freehold.domain.scoring import SqlScorer
from freehold.domain.traces import Trace
from freehold.loop import Loop
from freehold.serving.engine import answer_all
from freehold.serving.folder import GenerativeManifest
from freehold.serving.gate import read_gate
from freehold.store import Store
from freehold.store.artifacts import read_student

UPSTREAM, MODEL = "stand-in", "frontier"


def main() -> int:
    """Run one workload; prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epsilon", type=float, default=0.02)
    parser.add_argument("--exchanges", type=int, default=EXCHANGES)
    parser.add_argument("--recipe", default="tiny")
    options = parser.parse_args()
    configure_logs("error")
    with tempfile.TemporaryDirectory(prefix="freehold-students-loop-") as place:
        print(json.dumps(run(Path(place), options)))
    return 0


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Record, let the loop work, and ask what came of it."""
    settings = settings_of(folder, options)
    store = Store.open(settings.data, settings.control_url)
    rng = Random(f"{options.seed}/{options.name}/loop")
    record(store, options.name, mixed(options.name, options.exchanges, rng))
    began = Spent.now()
    Loop(store, settings).until_idle()
    spent = Spent.now().since(began)
    unseen = [Question(*WORKLOADS[options.name].compose(rng, "all")) for _ in range(HELD_OUT)]
    result = {
        "workload": options.name,
        "seed": options.seed,
        "exchanges": options.exchanges,
        "epsilon": options.epsilon,
    }
    result |= {**told(store, options.name), **asked(store, options.name, unseen), "loop": spent}
    store.close()
    return result


def settings_of(folder: Path, options: argparse.Namespace) -> Settings:
    """One upstream whose answers are our own, and the task's scorer."""
    scorer = WORKLOADS[options.name].scorer
    if isinstance(scorer, SqlScorer):
        scorer = msgspec.structs.replace(scorer, database=str(write_books(folder / "shop.sqlite")))
    settings = Settings(
        upstreams={UPSTREAM: UpstreamSettings(base_url="http://127.0.0.1:1/v1", terms="own")},
        loop=LoopSettings(epsilon=options.epsilon, min_samples=options.exchanges * 9 // 10, seed=options.seed),
        tasks={options.name: TaskSettings(scorer=scorer)},
        data_dir=str(folder / "data"),
    )
    students = msgspec.structs.replace(settings.students, recipe=options.recipe, yield_share=0.0)
    return msgspec.structs.replace(settings, students=students)


def mixed(name: str, n: int, rng: Random) -> list[Exchange]:
    """Exchanges in all phrasings, as traffic is; 2% of the answers are wrong."""
    workload = WORKLOADS[name]
    found: list[Exchange] = []
    for _ in range(n):
        prompt, truth = workload.compose(rng, "all")
        found.append(Exchange(prompt, workload.mistaken(truth, rng) if rng.random() < MISTAKES else truth, truth))
    return found


def record(store: Store, name: str, rows: Sequence[Exchange]) -> None:
    """Write the exchanges into the journal as a gateway does."""
    journal = store.open_journal()
    for number, row in enumerate(rows):
        messages = [{"role": "system", "content": WORKLOADS[name].system}, {"role": "user", "content": row.prompt}]
        asked = {"model": MODEL, "messages": messages, "response_format": WORKLOADS[name].response_format}
        body = json.dumps({key: value for key, value in asked.items() if value is not None}).encode()
        choice = {"message": {"role": "assistant", "content": row.answer}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 250 + len(row.prompt) // 4, "completion_tokens": len(row.answer) // 4}
        journal.append(
            Trace(
                trace_id="tr_" + hashlib.sha256(f"{name}/{number}".encode()).hexdigest()[:28],
                at_ns=time.time_ns(),
                task=task_id_of_name(name),
                task_name=name,
                fingerprint=shape_of(parse_chat(body)).fingerprint,
                model=MODEL,
                answered_by=f"{UPSTREAM}/{MODEL}",
                reason="no-rung",
                status=200,
                request=body,
                response=json.dumps({"choices": [choice], "usage": usage}).encode(),
            )
        )
    journal.close()


def told(store: Store, name: str) -> dict[str, Any]:
    """What the store says of the task."""
    task = store.control.tasks.get(task_id_of_name(name))
    certificates = store.control.certificates.list(task=task_id_of_name(name))
    kinds = ("student-trained", "evaluated", "not-certified", "certified", "promoted", "job-failed", "rights-blocked")
    events = [event for event in reversed(store.control.events(10_000)) if event.kind in kinds]
    return {
        "state": task.state if task else None,
        "attempts": task.attempts if task else 0,
        "certified_share": max((round(one.coverage, 4) for one in certificates), default=0.0),
        "loss_upper": min((round(one.loss_upper, 4) for one in certificates), default=None),
        "certify_rows": max((one.certify_rows for one in certificates), default=None),
        "events": [f"{event.kind}: {event.message}" for event in events],
    }


def asked(store: Store, name: str, questions: Sequence[Question]) -> dict[str, Any]:
    """The rung in force, asked what the loop has never seen."""
    entry = store.control.current_policy().tasks.get(task_id_of_name(name))
    if entry is None or not entry.rungs:
        return {"owned_of_unseen": 0.0}
    answers = _accepted(store, entry.rungs[0], [question.prompt for question in questions])
    owned = [(question, answer) for question, answer in zip(questions, answers, strict=True) if answer is not None]
    hits = sum(right(name, answer, question.truth) for question, answer in owned)
    return {
        "owned_of_unseen": round(len(owned) / len(questions), 4),
        "right_of_owned": round(hits / len(owned), 4) if owned else None,
    }


def _accepted(store: Store, rung: Rung, prompts: Sequence[str]) -> list[str | None]:
    """The student's answers, None where the rung leaves the request to the incumbent."""
    manifest, tensors = read_student(store.data / rung.path, rung.sha256)
    gate = read_gate(manifest, tensors)
    known = msgspec.convert(manifest, GenerativeManifest)
    answers = answer_all(store.data / rung.path, known, None, prompts, gate)
    return [
        answer.text if answer.signal >= rung.threshold and answer.novelty <= rung.novelty_limit else None
        for answer in answers
    ]


if __name__ == "__main__":
    sys.exit(main())
