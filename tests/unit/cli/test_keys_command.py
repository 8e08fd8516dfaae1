"""`freehold keys` and `freehold teams`, from making a key to what it used."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from cli_fixtures import Run

from freehold.config import load_settings
from freehold.domain.traces import Trace
from freehold.store import Store
from freehold.store.control.access_tables import Spent

USAGE = b'{"model":"m","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}}'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, where commands run."""
    text = '[upstreams.main]\nbase_url = "http://127.0.0.1:1/v1"\nprices = { m = { input = 1.0, output = 2.0 } }\n'
    (tmp_path / "freehold.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _json(run: Run, *arguments: str, code: int = 0) -> dict:
    given, out, _ = run(*arguments, "--json")
    assert given == code, out
    return json.loads(out)


def test_a_key_from_its_making_to_its_end(here: Path, run: Run) -> None:
    _json(run, "teams", "create", "search", "--dollars-per-month", "100")
    flags = ["--team", "search", "--models", "gpt-4o*", "--models", "m", "--rpm", "60", "--tpm", "100_000"]
    made = _json(run, "keys", "create", "ci", *flags, "--dollars-per-day", "2.50", "--expires", "2100-01-01")
    assert (made["team_name"], made["models"], made["requests_per_minute"]) == (None, ["gpt-4o*", "m"], 60)
    assert (made["tokens_per_minute"], made["dollars_per_day"]) == (100_000, 2.5)
    code, out, err = run("keys", "create", "other")
    assert code == 0 and out.startswith("fh-") and "this once" in err and out.strip() not in err
    code, out, _ = run("keys", "list")
    assert code == 0 and "search" in out and made["key"] not in out and made["shown"][0] in out
    changed = _json(run, "keys", "update", "ci", "--rpm", "none", "--team", "none", "--expires", "none")
    assert (changed["requests_per_minute"], changed["team"], changed["expires"]) == (None, None, None)
    assert (changed["tokens_per_minute"], changed["models"]) == (100_000, ["gpt-4o*", "m"])
    rotated = _json(run, "keys", "rotate", "ci", "--grace", "30m")
    assert rotated["key"] != made["key"] and len(rotated["shown"]) == 2
    assert _json(run, "keys", "revoke", "ci")["state"] == "revoked"
    assert [key["name"] for key in _json(run, "keys", "list")] == ["other"]
    assert len(_json(run, "keys", "list", "--all")) == 2
    assert _json(run, "teams", "update", "search", "--name", "find")["name"] == "find"
    assert _json(run, "teams", "remove", "find")["name"] == "find"
    assert _json(run, "teams", "list") == []
    assert made["key"] not in (here / "freehold-data" / "control.sqlite").read_bytes().decode("latin-1")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("keys", "create", "x", "--rpm", "many"), 2),
        (("keys", "create", "x", "--rpm", "0"), 2),
        (("keys", "create", "x", "--dollars-per-day", "-1"), 2),
        (("keys", "create", "x", "--expires", "2001-01-01"), 2),
        (("keys", "create", "x", "--team", "nobody"), 3),
        (("keys", "create", ""), 2),
        (("keys", "show", "nobody"), 3),
        (("keys", "rotate", "nobody", "--grace", "soon"), 2),
        (("keys", "usage", "--since", "yesterday"), 2),
        (("teams", "remove", "nobody"), 3),
    ],
)
def test_what_cannot_be_done_is_said(here: Path, run: Run, arguments: tuple[str, ...], code: int) -> None:
    error = _json(run, *arguments, code=code)["error"]
    assert error["message"] and error["hint"]


def test_use_is_read_from_the_traces_and_from_the_workers(here: Path, run: Run) -> None:
    team = _json(run, "teams", "create", "search")["team_id"]
    key = _json(run, "keys", "create", "ci", "--team", "search")["key_id"]
    settings = load_settings(here / "freehold.toml")
    store = Store.open(settings.data, settings.control_url)
    now = time.time_ns()
    store.control.access.add_spent([Spent(key, now // 10**9 // 86_400 * 86_400, 7, 840, 10**9)])
    journal = store.open_journal()
    for number, of in enumerate((key, key, None)):
        trace = Trace(
            trace_id=f"tr_{number:016x}",
            at_ns=now,
            key=of,
            model="m",
            answered_by="main/m",
            status=200,
            request=b"{}",
            response=USAGE,
        )
        journal.append(trace)
    journal.close()
    store.close()
    (row,) = _json(run, "keys", "usage")["data"]
    assert row == {"key_id": key, "name": "ci", "requests": 2, "tokens": 240, "dollars": 0.00028}
    assert [row["team_id"] for row in _json(run, "keys", "usage", "--by", "team")["data"]] == [team]
    assert [row["requests"] for row in _json(run, "keys", "usage", "--by", "day")["data"]] == [2]
    (live,) = _json(run, "keys", "usage", "--live")["data"]
    assert (live["name"], live["requests"], live["dollars"]) == ("ci", 7, 1.0)
    lines = {line["key"]: line for line in _json(run, "ledger", "--by", "key")["keys"]}
    assert (lines[key]["name"], lines[key]["requests"], lines[""]["requests"]) == ("ci", 2, 1)
    code, out, _ = run("keys", "usage")
    assert code == 0 and "240" in out


def test_doctor_says_whether_keys_can_be_checked_here(here: Path, run: Run) -> None:
    def keys() -> list[str]:
        _, out, _ = run("doctor", "--json")
        return [f"{check['level']}: {check['says']}" for check in json.loads(out) if check["what"] == "keys"]

    _json(run, "keys", "create", "a")
    assert keys() == ["ok: 1 active of 1"]
    _json(run, "keys", "revoke", "a")
    assert keys() == ["warning: All keys have ended: no caller is let in"]
    (here / "freehold-data" / "keys" / "pepper").unlink()
    assert "another pepper" in keys()[0] and keys()[0].startswith("error")
    assert _json(run, "keys", "create", "b", code=4)["error"]["code"] == "conflict"
