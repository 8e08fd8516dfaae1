"""`freehold forget`: it asks, it shows, it writes a receipt, and `verify` says whether that holds."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
import pytest
from cli_fixtures import Run
from forget_fixtures import MARKER, SUBJECT, House, exchange, places_with

from freehold.record.sealer import Sealer

CONFIG = '[upstreams.up]\nbase_url = "http://127.0.0.1:1/v1"\nterms = "own"\n'


@pytest.fixture
def place(tmp_path: Path) -> tuple[str, ...]:
    """Options that name the configuration of a filled data folder."""
    house = House(tmp_path / "freehold-data")
    house.fill()
    house.store.close()
    path = tmp_path / "freehold.toml"
    path.write_text(CONFIG)
    return ("--config", str(path))


def test_the_way_through(place: tuple[str, ...], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "freehold-data"
    before = places_with(data, MARKER)
    code, out, err = run("forget", "--subject", SUBJECT, "--dry-run", *place)
    assert code == 0 and "To be removed: 12 traces, 6 judgements, 1 not sealed yet." in out, err
    assert "ds_1 holds 3 of these rows and stays (--datasets removes it)" in out
    code, _, err = run("forget", "--subject", SUBJECT, "--json", *place)
    assert code == 2
    monkeypatch.setattr(click, "confirm", lambda *_, **__: (_ for _ in ()).throw(click.Abort()))
    assert run("forget", "--subject", SUBJECT, *place)[0] == 130
    assert places_with(data, MARKER) == before, "nothing is removed unless somebody says so"
    receipt = tmp_path / "receipt.json"
    code, out, err = run("forget", "--subject", SUBJECT, "--yes", "--datasets", "--out", str(receipt), *place)
    assert code == 0 and "Signed by" in out, err
    assert places_with(data, MARKER, SUBJECT) == []
    assert SUBJECT not in receipt.read_text() and SUBJECT not in out
    code, out, _ = run("forget", "verify", str(receipt), "--subject", SUBJECT, *place)
    assert code == 0 and "holds, and it is about that subject" in out
    assert run("forget", "verify", str(receipt), "--subject", "somebody", *place)[0] == 7
    receipt.write_text(receipt.read_text().replace('"feedback":6', '"feedback":5'))
    assert run("forget", "verify", str(receipt), *place)[0] == 7
    code, out, _ = run("forget", "list", "--json", *place)
    assert code == 0 and msgspec.json.decode(out)[0]["removed"]["traces"] == 12
    code, out, _ = run("events", "--json", *place)
    assert {"forgotten", "rolled-back"} <= {event["kind"] for event in msgspec.json.decode(out)}


def test_by_age(tmp_path: Path, run: Run) -> None:
    house = House(tmp_path / "freehold-data")
    writer = house.store.open_journal()
    for days in range(3):
        old = exchange(days)
        writer.append(msgspec.structs.replace(old, at_ns=old.at_ns - days * 24 * 3600 * 10**9))
    writer.close()
    Sealer(house.store, {}).seal_once()
    (tmp_path / "freehold.toml").write_text(CONFIG)
    place = ("--config", str(tmp_path / "freehold.toml"))
    code, out, _ = run("forget", "--older-than", "0.5", "--dry-run", *place)
    assert code == 0 and "2 traces" in out and len(house.ids()) == 3
    code, out, _ = run("forget", "--older-than", "0.5", "--yes", "--json", *place)
    assert code == 0 and msgspec.json.decode(out)["removed"]["traces"] == 2 and len(house.ids()) == 1


@pytest.mark.parametrize("options", [(), ("--subject", "a", "--key", "b"), ("--older-than", "1", "--trace", "tr_1")])
def test_exactly_one_thing_is_named(options: tuple[str, ...], run: Run) -> None:
    code, _, err = run("forget", *options)
    assert code == 2 and "one of --subject, --key, --episode, --trace and --older-than" in err


def test_quarantined_bytes_that_nothing_can_read_are_said_and_removed_where_asked(tmp_path: Path, run: Run) -> None:
    house = House(tmp_path / "freehold-data")
    house._damaged()
    Sealer(house.store, {}).seal_once()
    path = next((house.data / "journal-damaged").iterdir())
    path.write_bytes(path.read_bytes().replace(SUBJECT.encode(), b"?" * len(SUBJECT)))  # the name itself is damaged
    (tmp_path / "freehold.toml").write_text(CONFIG)
    place = ("--config", str(tmp_path / "freehold.toml"))
    code, out, _ = run("forget", "--subject", SUBJECT, "--yes", *place)
    assert code == 0 and "damaged bytes in journal-damaged/" in " ".join(out.split())
    assert run("forget", "--subject", SUBJECT, "--yes", "--damaged", *place)[0] == 0
    assert places_with(house.data, MARKER, SUBJECT) == []
