"""`freehold config check`: as a starting gateway would, and what a running one would take up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_fixtures import Run

GOOD = """
{more}
[upstreams.a]
base_url = "http://127.0.0.1:{port}/v1"
{upstream}
"""


def write(path: Path, more: str = "", port: int = 1, upstream: str = "") -> Path:
    path.write_text(GOOD.format(more=more, port=port, upstream=upstream))
    return path


def test_a_good_file_and_what_it_would_change(tmp_path: Path, run: Run) -> None:
    old = write(tmp_path / "old.toml")
    new = write(tmp_path / "new.toml", 'data_dir = "elsewhere"', port=2)
    code, out, err = run("config", "check", str(new), "--against", str(old), "--json")
    assert code == 0 and not err
    found = json.loads(out)
    assert (found["upstreams"], found["live"], found["new_start"]) == (["a"], ["upstreams.a.base_url"], ["data_dir"])
    code, out, _ = run("config", "check", str(new), "--against", str(old))
    assert code == 0 and "can be used" in out and "at once" in out and "after a new start" in out
    assert run("config", "check", "--config", str(new))[0] == 0
    assert not (tmp_path / "elsewhere").exists(), "nothing is opened"


@pytest.mark.parametrize(
    ("more", "upstream", "said"),
    [
        ("[gateway", "", "not valid TOML"),
        ("wrong = 1", "", "wrong"),
        ("", 'api_key_env = "NO_SUCH_KEY"', "NO_SUCH_KEY"),
        ("", 'protocol = "smoke-signals"', "protocol"),
        ('[gateway]\nhost = "0.0.0.0"', "", "0.0.0.0"),
    ],
)
def test_a_bad_file_is_refused_with_what_is_wrong(
    more: str, upstream: str, said: str, tmp_path: Path, run: Run
) -> None:
    path = write(tmp_path / "bad.toml", more, upstream=upstream)
    code, out, _ = run("config", "check", str(path), "--json")
    error = json.loads(out)["error"]
    assert code == 2 and error["code"] == "config_error" and said in error["message"] and error["hint"]
