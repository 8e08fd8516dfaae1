"""`kill -9` of every process there is: nothing acknowledged is lost or doubled, and the work goes on."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

from product_fixtures import (
    LEARNED,
    Answer,
    Desk,
    Load,
    Product,
    all_traces,
    ask,
    ask_all,
    body_of,
    events,
    freehold,
    processes,
    store_of,
    task_of,
)
from waiting import wait_for

JOB = "freehold.loop.worker"
LOOP = "freehold.cli.main loop"


def kept_once(folder: Path, acknowledged: list[Answer]) -> None:
    """Every acknowledged trace is recorded, and none twice."""
    assert {answer.status for answer in acknowledged} == {200}
    counts = Counter(trace["trace_id"] for trace in all_traces(folder))
    lost = {answer.trace for answer in acknowledged} - set(counts)
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged traces are lost"
    assert max(counts.values()) == 1, "a trace is there twice"


def test_killing_a_gateway_worker_and_the_loop_loses_nothing(owned: Path, desk: Desk) -> None:
    with Product(owned, workers=2) as product, Load(product, desk.before[1000:]) as load:
        load.more(100)
        worker = wait_for(product.gateway_workers)[0]
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: worker not in product.gateway_workers() and len(product.gateway_workers()) == 2, 30)
        load.more(100)
        loop = wait_for(lambda: product.member(LOOP))
        os.kill(loop, signal.SIGKILL)
        load.more(100)
        again = wait_for(lambda: product.member(LOOP), 30, "the loop is started again")
        with store_of(owned) as store:
            sealed = store.traces.scan().collect().height
            wait_for(lambda: store.traces.scan().collect().height > sealed, 20, "the new loop seals")
        assert again != loop
    assert "starting it again" in product.log.read_text()
    assert any(answer.owned for answer in load.acknowledged[-100:])
    kept_once(owned, load.acknowledged)


def test_a_killed_job_is_carried_on_and_does_no_step_twice(recorded: Path) -> None:
    with Product(recorded) as product:
        first = wait_for(lambda: product.member(JOB), 30, "a job")
        os.kill(first, signal.SIGKILL)
        second = wait_for(lambda: (pid := product.member(JOB)) != first and pid, 30, "the job's second process")

        def trained() -> bool:
            with store_of(recorded) as store:
                return any(step.name == "curate" for job in store.control.jobs.list() for step in job.steps)

        wait_for(trained, 30, "a finished step")
        if product.member(JOB) == second:
            os.kill(second, signal.SIGKILL)
        wait_for(lambda: events(recorded, "promoted"), 60, "a promotion")
    with store_of(recorded) as store:
        jobs = [job for job in store.control.jobs.list() if job.task == task_of(recorded).task_id]
        done = [[step.name for step in job.steps] for job in jobs]
    assert done == [["curate", "train", "evaluate", "begin", "certify", "promote"]]
    assert task_of(recorded).attempts == 1 and len(events(recorded, "promoted")) == 1
    assert not events(recorded, "job-failed")


def test_killing_everything_loses_nothing_and_leaves_nobody_behind(owned: Path, desk: Desk) -> None:
    acknowledged: list[Answer] = []
    for workers in (2, 1):
        with Product(owned, workers=workers) as product:
            with Load(product, desk.before[1000:]) as load:
                load.more(150)
                wait_for(lambda product=product: product.member(LOOP))
                family = product.kill()
            acknowledged += load.acknowledged
            wait_for(lambda family=family: not set(family) & set(processes()), 20, f"the end of {family}")
    with Product(owned, workers=2) as product:
        answers = ask_all(product.url, desk.before[1000:1100])
        assert any(answer.owned for answer in answers)
        acknowledged += answers
        sent = LEARNED + len(acknowledged)
        with store_of(owned) as store:
            wait_for(lambda: store.traces.scan().collect().height >= sent, 20, "the new loop seals what was left")
    kept_once(owned, acknowledged)


def test_sigterm_ends_every_process_and_finishes_what_is_under_way(owned: Path, desk: Desk) -> None:
    for workers in (1, 2):
        with Product(owned, workers=workers) as product, Load(product, desk.before[1000:]) as load:
            load.more(50)
            wait_for(lambda product=product: product.member(LOOP))
            family = product.family()
            assert len(family) >= workers - (workers == 1) + 1
            assert product.stop() == 0
            wait_for(lambda family=family: not set(family) & set(processes()), what="the end of its family")
        kept_once(owned, load.acknowledged)
        assert "Traceback" not in product.log.read_text()


def test_a_second_loop_on_the_same_folder_is_refused(owned: Path, desk: Desk) -> None:
    with Product(owned) as product:
        loop = wait_for(lambda: product.member(LOOP))
        lock = owned / "data" / "loop.lock"  # a loop before this one may have left its name in it
        wait_for(lambda: lock.exists() and str(loop) in lock.read_text())
        second = freehold(owned, "loop")
        assert second.code == 4
        assert f"locked by process {loop}" in second.err and "before you start another" in second.err
        assert "Traceback" not in second.err
        once = freehold(owned, "loop", "--once", "--json")
        assert once.code == 4 and once.json["error"]["code"] == "lease_held"
        assert ask(product.url, body_of(desk.before[1000])).status == 200
        assert product.member(LOOP) == loop
