"""`freehold recipes`: what there is, why, and whether a file can be used."""

from __future__ import annotations

import json
from pathlib import Path

from cli_fixtures import Run

from freehold.train.recipes import builtin_names, find_recipe


def test_recipes_are_listed_shown_and_checked(tmp_path: Path, run: Run) -> None:
    code, out, err = run("recipes", "--json")
    assert code == 0 and not err and [one["name"] for one in json.loads(out)] == builtin_names()
    assert run("recipes")[1].count("sft") >= 4
    code, out, _ = run("recipes", "show", "lora", "--json")
    fields = {one["field"]: one for one in json.loads(out)["fields"]}
    assert fields["adapter.rank"]["value"] == 16 and fields["adapter.rank"]["default"]
    assert fields["data.context"]["note"] and fields["model.from"]["value"] == "base"
    code, out, _ = run("recipes", "show", "tiny")
    assert code == 0 and "[model]" in out and "optimizer.kind" in out and "→" in out
    path = tmp_path / "mine.toml"
    path.write_text(find_recipe("tiny").read_text())
    assert json.loads(run("recipes", "check", str(path), "--json")[1])["recipe"]["model"]["from"] == "scratch"
    assert "can be used" in run("recipes", "check", str(path))[1]
    code, out, _ = run("recipes", "check", str(tmp_path / "none.toml"), "--json")
    assert code == 2 and json.loads(out)["error"]["code"] == "config_error"
