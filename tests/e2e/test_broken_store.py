"""What breaks below the gateway while it serves: said clearly, and traffic flows."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from product_fixtures import (
    CONFIG,
    Answer,
    Desk,
    Load,
    Product,
    all_traces,
    ask,
    ask_all,
    big_body,
    body_of,
    events,
    freehold,
    get,
    rung_of,
)
from waiting import wait_for


def degraded(product: Product) -> list[str]:
    """What the gateway says does not work."""
    return json.loads(get(product.url, "/readyz")[1])["degraded"]


def doctor(folder: Path) -> tuple[int, dict[str, Any]]:
    """Exit code, and what is wrong by name."""
    done = freehold(folder, "doctor", "--json")
    return done.code, {check["what"]: check["says"] for check in done.json if check["level"] == "error"}


def test_a_deleted_student_file_sends_its_task_to_the_incumbent(owned: Path, desk: Desk) -> None:
    rung = rung_of(owned)
    assert rung is not None
    with Product(owned) as product:
        message = next(m for m in desk.before[1000:] if ask(product.url, body_of(m)).owned)
        [weights] = (owned / "data" / rung.path).glob("*.safetensors")
        kept = weights.read_bytes()
        weights.unlink()
        wait_for(lambda: not ask(product.url, body_of(message)).owned, what="the incumbent answers")
        answer = ask(product.url, body_of(message))
        assert (answer.status, answer.text) == (200, desk.answers[message.user])
        assert degraded(product) == [f"Student {rung.student} cannot be loaded."]
        [event] = wait_for(lambda: events(owned, "student-damaged"), what="the event")
        assert str(weights) in event.message and "go to the incumbent" in event.message
        code, errors = doctor(owned)
        assert code == 1 and str(weights) in errors[f"student {rung.student}"]
        weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))  # there again, but not the one that was certified
        code, errors = doctor(owned)
        assert code == 1 and "hash differs" in errors[f"student {rung.student}"]
        assert not ask(product.url, body_of(message)).owned
        weights.write_bytes(kept)
        wait_for(lambda: ask(product.url, body_of(message)).owned, what="the student answers again")
        assert degraded(product) == []
    reasons = {trace["reason"] for trace in all_traces(owned)}
    assert "student-missing" in reasons


@pytest.mark.parametrize("harm", ["deleted", "overwritten"])
def test_without_its_control_database_the_gateway_passes_everything_through(owned: Path, desk: Desk, harm: str) -> None:
    control = owned / "data" / "control.sqlite"
    with Product(owned) as product, Load(product, desk.before[1000:]) as load:
        wait_for(lambda: any(answer.owned for answer in load.acknowledged))
        for path in owned.joinpath("data").glob("control.sqlite*"):
            if harm == "deleted":
                path.unlink()
            else:
                path.write_bytes(os.urandom(path.stat().st_size))
        wait_for(lambda: degraded(product), what="the gateway says so")
        wait_for(lambda: not any(answer.owned for answer in load.acknowledged[-50:]), what="nothing is owned")
        load.more(50)
        [said] = degraded(product)
        assert str(control) in said
        # Where it was deleted, the loop may have made a new one by now, which is another.
        assert "ut it back from a backup" in said or "was replaced by another file" in said
        assert get(product.url, "/")[0] in (200, 503), "the dashboard says so instead of failing"
    assert {answer.status for answer in load.acknowledged} == {200}
    assert product.log.read_text().count("Traceback") == 0
    if harm == "overwritten":
        code, errors = doctor(owned)
        assert code == 1 and str(control) in errors["store"]
        with Product(owned) as product:  # it starts all the same: traffic comes first
            assert [a.status for a in ask_all(product.url, desk.before[1000:1020])] == [200] * 20
            assert degraded(product)
        listed = freehold(owned, "tasks", "--json")
        assert listed.code == 1 and listed.json["error"]["code"] == "store_error"


@pytest.fixture
def small_disk(tmp_path: Path, desk: Desk) -> Iterator[Path]:
    """A folder whose data lie on a disk of six megabytes, of which four are taken by a ballast that can go."""
    (tmp_path / "freehold.toml").write_text(CONFIG.format(base_url=desk.server.base_url))
    data = tmp_path / "data"
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(data)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        (data / "ballast").write_bytes(bytes(4_000_000))
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(data)], check=True)


def test_traffic_flows_while_the_disk_is_full_and_is_recorded_again_once_there_is_room(
    small_disk: Path, desk: Desk
) -> None:
    with Product(small_disk) as product:
        kept = ask_all(product.url, desk.before[:20])
        full: list[Answer] = []

        def shed() -> bool:
            full.append(ask(product.url, big_body(60_000)))
            return any("Recording is shed" in sentence for sentence in degraded(product))

        wait_for(shed, 30, "the disk is full")
        full += [ask(product.url, big_body(60_000)) for _ in range(10)]
        assert {answer.status for answer in full} == {200}
        [said] = [sentence for sentence in degraded(product) if "Recording is shed" in sentence]
        assert "no room left" in said and "Free disk space" in said
        assert "recording_shed" in product.log.read_text()
        (small_disk / "data" / "ballast").unlink()
        later = [ask(product.url, body_of(message)) for message in desk.before[20:40]]
        wait_for(lambda: degraded(product) == [], what="recording again")

        def sealed() -> bool:
            ids = {trace["trace_id"] for trace in all_traces(small_disk)}
            return {answer.trace for answer in [*kept, *later]} <= ids

        wait_for(sealed, 20, "what was acknowledged as recorded is there")
    assert "Traceback" not in product.log.read_text()
