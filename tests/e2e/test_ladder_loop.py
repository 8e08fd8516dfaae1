"""Three models of different skill: a ladder of them is certified, serves, is audited, and goes when it gets worse."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from product_fixtures import Answer, Product, ask, events, freehold, get, store_of
from waiting import wait_for

from freehold.store.traces.read import read_traces
from freehold.upstreams.recorded import RecordedAnswer, RecordedAnswers, serve_in_thread

LARGE, MEDIUM, SMALL = "large", "medium", "small"
CONFIG = """
data_dir = "data"
[gateway]
port = 0
policy_poll_seconds = 0.1
[upstreams.rented]
base_url = "{base_url}"
terms = "own"
keyless = true
models = ["large", "medium", "small"]
[upstreams.rented.prices]
large = {{ input = 10.0, output = 30.0 }}
medium = {{ input = 3.0, output = 9.0 }}
small = {{ input = 0.3, output = 0.9 }}
[candidates]
models = ["small", "medium"]
rate = 1.0
dollars_per_day = 1000.0
min_rows = 100
[loop]
epsilon = 0.06
delta = 0.1
min_samples = 100000
growth = 2.0
probation_audit_rate = 0.5
interval_seconds = 0.1
"""
CITIES = ("Paris", "Rome", "Oslo", "Bern", "Lima", "Cairo")
SYSTEM = {"role": "system", "content": "Answer with the name of one city."}


class Asked(NamedTuple):
    """A question, whether it is easy, and what each model says to it."""

    prompt: str
    easy: bool
    answers: dict[str, str]

    @property
    def body(self) -> bytes:
        return json.dumps({"model": LARGE, "messages": [SYSTEM, {"role": "user", "content": self.prompt}]}).encode()


def questions(seed: int, n: int) -> list[Asked]:
    """Easy and hard ones in turn: the small model knows the easy ones, none but the large one the hard ones."""
    rng = random.Random(seed)
    made: list[Asked] = []
    for number in range(n):
        right, wrong = rng.sample(CITIES, 2)
        easy, ticket = number % 2 == 0, rng.randrange(10**9)
        prompt = (
            f"Which city is on the ticket number {ticket} to {right}?"
            if easy
            else f"By train timetable {ticket}, deduce step by step where the parcel was first, then name it."
        )
        skill = {SMALL: 0.995 if easy else 0.3, MEDIUM: 0.995 if easy else 0.6}
        others = {name: right if rng.random() < chance else wrong for name, chance in skill.items()}
        made.append(Asked(prompt, easy, {LARGE: right, **others}))
    return made


def recorded(asked: Iterable[Asked], *, worse: bool = False) -> RecordedAnswers:
    """What the models say; `worse`: the small one names no city any more."""
    rows = [
        RecordedAnswer(prompt=one.prompt, model=name, response="Atlantis" if worse and name == SMALL else answer)
        for one in asked
        for name, answer in one.answers.items()
    ]
    return RecordedAnswers(rows)


def ask_all(url: str, asked: Sequence[Asked]) -> list[Answer]:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: ask(url, one.body), asked))
    assert {answer.status for answer in found} == {200}
    return found


def by(answers: Iterable[Answer]) -> Counter[str]:
    return Counter(answer.headers["x-freehold-answered-by"] for answer in answers)


def test_a_ladder_comes_into_force_is_audited_and_goes_when_its_model_gets_worse(tmp_path: Path) -> None:
    before, after, late = questions(1, 460), questions(2, 200), questions(3, 600)
    everything = [*before, *after, *late]
    with serve_in_thread(recorded(everything)) as server:
        (tmp_path / "freehold.toml").write_text(CONFIG.format(base_url=server.base_url))
        with Product(tmp_path) as product:
            _evidence(product, before)
            _in_force(product, after)
            server.app.answers = recorded(everything, worse=True)
            _goes(product, late)


def _evidence(product: Product, before: Sequence[Asked]) -> None:
    """Nothing moves on too little evidence; then a ladder is certified."""
    assert set(by(ask_all(product.url, before[:110]))) == {"rented/large"}
    [look] = wait_for(lambda: events(product.folder, "evaluated"), 30, "a first look for a ladder")
    assert "Nothing moves yet" in look.message
    with store_of(product.folder) as store:
        [task] = store.control.tasks.list()
        assert task.attempts == 0, "a look spends nothing"
    shown = freehold(product.folder, "ladder", task.task_id, "--json")
    assert shown.json["rungs"] == [] and shown.json["scored_requests"] < shown.json["wanted"]
    ask_all(product.url, before[110:])
    wait_for(lambda: events(product.folder, "promoted"), 40, "a ladder in force")


def _in_force(product: Product, after: Sequence[Asked]) -> None:
    """The easy kind is answered by the small model, the hard kind by the large one, and audits follow."""
    with store_of(product.folder) as store:
        [entry] = store.control.current_policy().tasks.values()
    ladder = entry.ladder
    assert ladder is not None and SMALL in {model.name for model in ladder.models}
    verified = freehold(product.folder, "certificate", "verify", ladder.certificate, "--json")
    assert verified.code == 0, verified.out
    easy = ask_all(product.url, [one for one in after if one.easy])
    hard = ask_all(product.url, [one for one in after if not one.easy])
    # How many depends on which requests were drawn as evidence.
    assert by(easy)["rented/small"] > 0.35 * len(easy), by(easy)
    assert by(hard)["rented/large"] > 0.8 * len(hard), by(hard)
    small = [answer for answer in easy if answer.headers["x-freehold-answered-by"] == "rented/small"]
    assert {answer.headers["x-freehold-certificate"] for answer in small} == {ladder.certificate}

    def audited() -> bool:
        with store_of(product.folder) as store:
            monitor = store.control.monitors.get(ladder.certificate)
            return monitor is not None and monitor.audits >= 20 and monitor.upper > monitor.lower

    wait_for(audited, 20, "audits of the small model's answers")
    _one_fair_sample(product)
    shown = freehold(product.folder, "ladder", entry.task, "--json")
    rungs = {row["rung"]: row for row in shown.json["rungs"]}
    assert rungs["rented/small"]["answered"] > 0 and rungs["rented/small"]["certified_share"] > 0.3
    status, page = get(product.url, f"/tasks/{entry.task}")
    assert status == 200 and ladder.certificate in page


def _one_fair_sample(product: Product) -> None:
    """Candidates are asked about accepted requests as well: those that are audited, with the probability of that."""
    columns = ("trace_id", "of", "kind", "reason", "audited", "audit_probability")
    with store_of(product.folder) as store:
        rows = read_traces(store, kinds=("request", "shadow"), columns=columns).to_dicts()
    accepted = {row["trace_id"]: row["audited"] for row in rows if row["reason"] == "accepted"}
    about = [row for row in rows if row["kind"] == "shadow" and row["of"] in accepted]
    assert about and all(accepted[row["of"]] and row["audit_probability"] == 0.5 for row in about)
    others = {row["audit_probability"] for row in rows if row["kind"] == "shadow" and row["of"] not in accepted}
    assert others == {1.0}


def _goes(product: Product, late: Sequence[Asked]) -> None:
    """The small model's wrong answers show in the audits, and the large one answers everything again."""
    left = iter([late[start : start + 40] for start in range(0, len(late), 40)])

    def withdrawn() -> bool:
        if not events(product.folder, "rolled-back"):
            ask_all(product.url, next(left, late[-2:]))
        return bool(events(product.folder, "rolled-back"))

    wait_for(withdrawn, 30, "a rollback")
    [event] = events(product.folder, "rolled-back")
    assert event.evidence["ladder"] and event.evidence["lower"] > 0.0
    easy = [one for one in late if one.easy][:8]
    wait_for(lambda: set(by(ask_all(product.url, easy))) == {"rented/large"}, 2.0, "the large model again")
