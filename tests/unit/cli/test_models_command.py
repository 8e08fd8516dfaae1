"""`freehold models`: the table, one whole, hashes, and what may be fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("tokenizers")

from cli_fixtures import Run
from tiny_models import make_model

from freehold.config import load_settings


def test_the_commands(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    folder, config = make_model(tmp_path / "models" / "tiny"), tmp_path / "freehold.toml"
    config.write_text('[models]\nhub = ["org/some"]\n')
    assert load_settings(config).models.folders == (str(tmp_path / "models"),), "relative to the file"
    code, out, _ = run("models", "--config", str(config))
    assert code == 0 and "apache-2.0" in out and "org/some was not fetched yet" in out
    rows = json.loads(run("models", "--json", "--config", str(config))[1])
    assert [row["name"] for row in rows] == ["tiny", "org/some"] and rows[0]["rights"]["train"]["outcome"] == "allow"
    code, out, _ = run("models", "show", "tiny", "--config", str(config))
    assert code == 0 and "LlamaForCausalLM" in out and "256 tokens" in out
    assert json.loads(run("models", "show", "tiny", "--json", "--config", str(config))[1])["facts"]["context"] == 256
    code, out, _ = run("models", "check", "tiny", "--config", str(config))
    assert code == 0 and "As it was on" in out
    known = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**known, "rope_theta": 5.0}))
    code, out, _ = run("models", "check", "tiny", "--json", "--config", str(config))
    assert code == 1 and json.loads(out)["changed"] == ["config.json has changed"]
    assert run("models", "check", "tiny", "--accept", "--config", str(config))[0] == 0
    assert run("models", "check", "tiny", "--config", str(config))[0] == 0
    code, out, err = run("models", "fetch", "other/one", "--config", str(config))
    assert code == 2 and "not listed" in err
    assert run("models", "show", "nobody", "--config", str(config))[0] == 3
