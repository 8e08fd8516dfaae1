"""Counts in files: whole or not there, added up over workers, never twice, and bounded whatever callers send."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from freehold.gateway.telemetry import counts as counts_module
from freehold.gateway.telemetry.counts import SEGMENT_BYTES, Counts
from freehold.gateway.telemetry.gather import FORMER, fold_dead, gather, read_counts, start_anew
from freehold.gateway.telemetry.metrics import MAX_MODELS, Metrics

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    """The page, read by Prometheus' own library."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(text: str, name: str, **labels: str) -> float:
    return sum(
        value for (found, has), value in samples(text).items() if found == name and labels.items() <= dict(has).items()
    )


def worker(folder: Path, name: str, *, requests: int = 0, **kept: object) -> Metrics:
    metrics = Metrics(name, models=["m"], **kept)  # type: ignore[arg-type]
    metrics.open(folder)
    for _ in range(requests):
        metrics.request(("chat", "m", "main/m", 200, "passthrough", False), None, 0.01)
    return metrics


names = st.text(st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=25)
@given(st.lists(st.tuples(names, names, st.integers(0, 2**40), st.integers(0, 2)), max_size=20), names)
def test_the_page_is_the_sum_over_workers_whatever_the_labels(
    tmp_path_factory: pytest.TempPathFactory, counted: list[tuple[str, str, int, int]], odd: str
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    workers = [worker(folder, f"wk_{number}") for number in range(3)]
    want: dict[tuple[str, str], int] = {}
    for model, outcome, count, who in [*counted, (odd, "accepted", 1, 0)]:
        workers[who].rungs[model, outcome] += count
        want[model, outcome] = want.get((model, outcome), 0) + count
    wanted = {(("model", model), ("outcome", outcome)): value for (model, outcome), value in want.items()}
    for metrics in workers[:2]:
        page = samples(metrics.text())
        assert {key: value for (name, key), value in page.items() if name == "freehold_rungs_total"} == wanted
    for metrics in workers:
        metrics.close()


def test_histograms_add_up_and_gauges_stand_side_by_side_while_their_worker_lives(tmp_path: Path) -> None:
    one, two = worker(tmp_path, "wk_1"), worker(tmp_path, "wk_2")
    in_flight = [3, 4]
    one.gauge("requests_in_flight", lambda: in_flight[0])
    two.gauge("requests_in_flight", lambda: in_flight[1])
    for metrics, seconds in ((one, 0.002), (one, 7.0), (two, 1000.0)):
        metrics.request(("chat", "m", "student/s", 200, "accepted", True), None, seconds, 0.5)
    two.request(("chat", "m", "", 502, "incumbent", False), "upstream_timeout: too slow", 0.2)
    one.refresh()
    two.refresh()
    text = one.text()
    bucket, where = "freehold_request_seconds_bucket", {"api": "chat", "upstream": "student"}
    assert [total(text, bucket, le=le, **where) for le in ("0.001", "0.0025", "10.0", "120.0", "+Inf")] == [
        0,
        1,
        2,
        2,
        3,
    ]
    assert total(text, "freehold_request_seconds_sum", **where) == pytest.approx(1007.002)
    assert total(text, "freehold_first_byte_seconds_count") == 3
    assert total(text, "freehold_owned_requests_total") == 3 and one.owned == 2
    assert total(text, "freehold_errors_total", code="upstream_timeout") == 1
    assert [total(text, "freehold_requests_in_flight", worker=name) for name in ("wk_1", "wk_2")] == [3, 4]
    two.close()
    text = one.text()
    assert total(text, "freehold_requests_in_flight") == 3 and total(text, "freehold_owned_requests_total") == 3
    one.close()


def test_tokens_are_priced_when_the_page_is_drawn(tmp_path: Path) -> None:
    def price(upstream: str, model: str, given: int, cached: int, said: int) -> float | None:
        return (given - cached) * 2e-6 + cached * 1e-6 + said * 8e-6 if upstream == "main" else None

    one = worker(tmp_path, "wk_1", price=price)
    for _ in range(10):
        one.used("main/m", False, 100, 40, 10)
        one.used("local/llama", True, 100, 0, 10)
        one.used("odd/nobody-knows", False, 5, 0, 2)
    text = one.text()
    assert total(text, "freehold_tokens_total", upstream="main", kind="cached") == 400
    assert total(text, "freehold_tokens_total", owned="1") == 1100
    assert total(text, "freehold_dollars_total") == pytest.approx(10 * (120 + 40 + 80) * 1e-6)
    assert total(text, "freehold_tokens_unpriced_total", model="nobody-knows") == 70
    one.close()


def test_tries_are_told_apart_as_retries_and_fallbacks(tmp_path: Path) -> None:
    one = worker(tmp_path, "wk_1")
    one.tried(["main: 200"])
    one.tried(["main: 503", "main: upstream_timeout", "spare: 200"])
    text = one.text()
    assert total(text, "freehold_upstream_attempts_total") == 4
    assert total(text, "freehold_upstream_attempts_total", upstream="main", outcome="503") == 1
    assert total(text, "freehold_upstream_retries_total", upstream="main") == 1
    assert total(text, "freehold_upstream_fallbacks_total", upstream="spare") == 1
    one.close()


def test_callers_cannot_invent_labels_without_end(tmp_path: Path) -> None:
    one = worker(tmp_path, "wk_1")
    for number in range(5_000):
        one.request(("chat", f"invented-{number}", f"main/invented-{number}", 404, "passthrough", False), None, 0.1)
    assert total(one.text(), "freehold_requests_total", model="other") == 5_000
    for number in range(MAX_MODELS + 50):  # an upstream that answers whatever it is asked for
        one.request(("chat", f"answered-{number}", f"main/answered-{number}", 200, "passthrough", False), None, 0.1)
        one.used(f"main/answered-{number}", False, 1, 0, 1)
    for bad in ("a\nb", "\x1b[31mred", "x" * 1000):
        one.request(("chat", bad, f"main/{bad}", 200, "passthrough", False), None, 0.1)
    one.request(("chat", "m", "main/m", 200, "passthrough", False), None, 0.1)
    text = one.text()
    models = {dict(labels)["model"] for name, labels in samples(text) if name == "freehold_requests_total"}
    assert len(models) == MAX_MODELS + 2 and {"m", "other"} <= models
    assert total(text, "freehold_requests_total", model="other") == 5_000 + 50 + 3
    assert all(line.isprintable() for line in text.splitlines())
    one.close()


@example(9, b"2")
@given(st.integers(0, SEGMENT_BYTES), st.binary(max_size=64))
def test_a_reader_sees_a_prefix_of_what_was_written_and_never_fails(cut: int, noise: bytes) -> None:
    counts = Counts()
    for number in range(200):
        slots = counts.slots("rungs", (f"model-{number}", "accepted"))
        slots.view[slots.at] = number + 1
    data = bytes(counts._bytes)
    whole = read_counts(data)
    assert len(whole) == 200
    for damaged in (data[:cut], data[:cut] + noise + data[cut + len(noise) :]):
        kept = read_counts(damaged)
        names = list(kept)
        assert names == list(whole)[: len(names)]


def test_a_full_file_still_counts_for_nobody_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts_module, "MAX_SEGMENTS", 2)
    one = worker(tmp_path, "wk_1")
    for number in range(5_000):
        one.rungs[f"model-{number}", "accepted"] += 1
    one.refresh()
    text = one.text()
    assert total(text, "freehold_metrics_full") == 1 and 500 < total(text, "freehold_rungs_total") < 5_000
    assert (tmp_path / "wk_1.counts").stat().st_size == 2 * SEGMENT_BYTES
    one.close()


def test_a_full_disk_makes_the_counts_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = worker(tmp_path, "wk_0", requests=2)

    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    one = worker(tmp_path, "wk_1", requests=3)
    one.refresh()
    assert total(one.text(), "freehold_requests_total") == 3 and total(one.text(), "freehold_metrics_private") == 1
    assert total(other.text(), "freehold_requests_total") == 2
    blocked = tmp_path / "a-file"
    blocked.touch()
    alone = worker(blocked / "metrics", "wk_2", requests=4)
    assert total(alone.text(), "freehold_requests_total") == 4
    for metrics in (other, one):
        metrics.close()


def test_what_was_counted_before_the_file_is_in_it(tmp_path: Path) -> None:
    one = Metrics("wk_1", models=["m"])
    one.request(("chat", "m", "main/m", 200, "passthrough", False), None, 0.01)
    one.audits["queued"] += 2
    one.open(tmp_path)
    one.request(("chat", "m", "main/m", 200, "passthrough", False), None, 0.01)
    one.audits["queued"] += 1
    other = worker(tmp_path, "wk_2")
    assert total(other.text(), "freehold_requests_total") == 2
    assert total(other.text(), "freehold_audits_total", outcome="queued") == 3
    one.close()
    other.close()


def test_dead_workers_are_folded_once_even_if_that_is_interrupted(tmp_path: Path) -> None:
    for number in range(10):
        worker(tmp_path, f"wk_dead{number}", requests=number).close()
    alive = worker(tmp_path, "wk_alive", requests=100)  # folds on its way in
    assert len(list(tmp_path.glob("wk_dead*"))) <= 8 and total(alive.text(), "freehold_requests_total") == 145
    again = {f"wk_late{number}" for number in range(9)}
    for name in again:
        worker(tmp_path, name, requests=1).close()
    before = {path: path.read_bytes() for path in tmp_path.glob("wk_late*")}
    fold_dead(tmp_path, more_than=0)
    for path, data in before.items():  # as if it had died before it had removed them
        path.write_bytes(data)
    assert total(alive.text(), "freehold_requests_total") == 154
    fold_dead(tmp_path, more_than=0)
    assert total(alive.text(), "freehold_requests_total") == 154 and not list(tmp_path.glob("wk_late*"))
    alive.close()


def test_a_new_start_forgets_former_ones_unless_one_lives(tmp_path: Path) -> None:
    for number in range(9):
        worker(tmp_path, f"wk_{number}", requests=1).close()
    alive = worker(tmp_path, "wk_alive", requests=1)
    start_anew(tmp_path)
    assert total(alive.text(), "freehold_requests_total") == 10 and (tmp_path / FORMER).exists()
    alive.close()
    start_anew(tmp_path)
    assert gather(tmp_path) == ([], {})
