"""`freehold rights`: rulings with their clauses, what would change them, and what changed in a text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_fixtures import Run

from freehold.rights.clauses import licences
from freehold.rights.table_diff import ClauseChange, compare

CONFIG = """
[upstreams.openai]
base_url = "https://api.openai.com/v1"
[upstreams.llama]
base_url = "http://127.0.0.1:1/v1"
terms = "llama-3.1"
[organisation]
monthly_users = 1000
founded = "2025-06-01"
company_in = "DE"
users_in = ["DE"]
"""
TABLES = Path(__file__).parents[3] / "src/freehold/rights/tables"


@pytest.fixture
def config(tmp_path: Path) -> list[str]:
    path = tmp_path / "freehold.toml"
    path.write_text(CONFIG)
    return ["--config", str(path)]


def test_check_says_why_and_ends_by_the_verdict(run: Run, config: list[str]) -> None:
    code, out, _ = run("rights", "check", "openai", "--action", "train_classifier", *config)
    assert code == 0 and "openai-api/outputs-classify: duties" in out and "Not legal advice" in out
    code, out, _ = run("rights", "check", "openai", "--action", "distil", "--json", *config)
    told = json.loads(out)
    assert code == 1 and told["outcome"] == "needs-counsel" and "Not legal advice" in told["notice"]
    assert told["findings"][0]["source"] and told["findings"][0]["date"] == "2026-11-20"
    code, out, _ = run("rights", "check", "llama", "--action", "serve_public", *config)
    assert code == 0 and "duty: display: Built with Llama" in out


def test_folders_are_assets_too(run: Run, config: list[str], tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    code, out, _ = run("rights", "check", str(model), "--action", "serve_internally", *config)
    assert code == 1 and "Nothing is known of 'unknown'" in out
    (model / "LICENSE").write_text((TABLES.parent / "texts/mit.txt").read_text())
    assert run("rights", "check", str(model), "--action", "serve_internally", *config)[0] == 0
    code, out, _ = run("rights", "detect", str(model), "--json")
    assert json.loads(out)["licence"] == "mit"
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    code, out, _ = run("rights", "check", str(model), "--action", "serve_internally", *config)
    assert code == 1 and "Nothing is known of 'some/base'" in out and "its weights are in" in out
    by_base = ("rights", "check", str(model), "--action", "serve_internally", "--base", "some/base=apache-2.0")
    assert run(*by_base, *config)[0] == 0
    code, _, err = run(*by_base[:-1], "some/base", *config)
    assert code != 0 and "NAME=LICENCE" in err


def test_what_is_not_there_is_said(run: Run, config: list[str]) -> None:
    code, _, err = run("rights", "check", "nothing-so-called", "--action", "distil", *config)
    assert code != 0 and "nothing-so-called" in err and "rights list" in err
    code, _, err = run("rights", "detect", "no-such-folder")
    assert code != 0 and "no-such-folder" in err


def test_explain_covers_every_action(run: Run, config: list[str]) -> None:
    code, out, _ = run("rights", "explain", "llama", "--json", *config)
    assert code == 0 and {ruling["action"]: ruling["outcome"] for ruling in json.loads(out)} == {
        "serve_internally": "duties",
        "serve_public": "duties",
        "fine_tune": "duties",
        "merge": "duties",
        "distil": "allow",
        "train_classifier": "allow",
        "distribute": "duties",
        "use_name": "deny",
    }


def test_what_if_shows_only_what_changes(run: Run, config: list[str]) -> None:
    code, out, _ = run("rights", "what-if", "--monthly-users", "800M", *config)
    assert code == 0 and "Nothing would change" in out  # the numbers of the release's day count
    code, out, _ = run("rights", "what-if", "--sells-ai-services", "--json", *config)
    [changed] = json.loads(out)
    assert (changed["before"]["outcome"], changed["after"]["outcome"]) == ("needs-counsel", "deny")
    assert run("rights", "what-if", "--monthly-users", "many", *config)[0] != 0


def test_diff_of_entries_names_clauses_and_assets(run: Run, config: list[str], tmp_path: Path) -> None:
    changed = tmp_path / "new.toml"
    old = TABLES / "licences/llama-3.1.toml"
    changed.write_text(old.read_text().replace("700_000_000", "600_000_000"))
    code, out, _ = run("rights", "diff", str(old), str(changed), "--json", *config)
    told = json.loads(out)
    assert code == 0 and told["affected"]["upstreams"] == ["llama"]
    assert [(change["clause"], change["fields"]) for change in told["changes"]] == [("monthly-users", ["when"])]
    assert "700000000" in told["changes"][0]["before"] and "600000000" in told["changes"][0]["after"]
    changed.write_text("id = 3")
    code, _, err = run("rights", "diff", str(old), str(changed), *config)
    assert code != 0 and "no entry of the table" in err


def test_diff_of_texts_shows_paragraphs(run: Run, config: list[str], tmp_path: Path) -> None:
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_text("LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\n\n1. You may.\n\n2. Outputs may train.\n")
    new.write_text("LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\n\n1. You may.\n\n2. Outputs may not train.\n\n3. More.\n")
    code, out, _ = run("rights", "diff", str(old), str(new), "--json", *config)
    told = json.loads(out)
    assert code == 0 and told["affected"]["upstreams"] == ["llama"]
    assert [(change["clause"], change["change"]) for change in told["changes"]] == [("2", "changed"), ("3", "added")]


def test_diff_of_whole_tables_and_of_terms_that_do_not_name_themselves(
    run: Run, config: list[str], tmp_path: Path
) -> None:
    newer = tmp_path / "tables"
    shutil.copytree(TABLES, newer)
    (newer / "licences/mit.toml").unlink()
    entry = newer / "terms/openai-api.toml"
    entry.write_text(entry.read_text().replace('version = "2025-12-01"', 'version = "2026-12-01"'))
    code, out, _ = run("rights", "diff", str(TABLES), str(newer), "--json", *config)
    told = json.loads(out)
    assert code == 0 and told["licences"] == ["mit", "openai-api"] and told["affected"]["upstreams"] == ["openai"]
    assert {"mit/grant", "openai-api/facts"} <= {change["clause"] for change in told["changes"]}
    old, new = tmp_path / "a.txt", tmp_path / "b.txt"
    old.write_text("Our terms.\n\nYou [the customer] may train classifiers.\n")
    new.write_text("Our terms.\n\nYou [the customer] may not train.\n")
    code, out, _ = run("rights", "diff", str(old), str(new), *config)
    assert code == 0 and "--about" in out and "[the customer]" in out.replace("\n", " ")
    code, out, _ = run("rights", "diff", str(old), str(new), "--about", "openai-api", *config)
    assert code == 0 and "Upstreams: openai." in out
    assert run("rights", "diff", str(old), str(new), "--about", "nobodys", *config)[0] != 0
    named = old.rename(tmp_path / "openai-api@2025-12-01.txt")
    told = json.loads(run("rights", "diff", str(named), str(new), "--json", *config)[1])
    assert told["affected"]["upstreams"] == ["openai"]
    told = json.loads(run("rights", "diff", str(new), str(new), "--json", *config)[1])
    assert told["changes"] == [] and told["affected"]["upstreams"] == []
    assert run("rights", "diff", str(TABLES), str(new), *config)[0] != 0


def test_every_pair_of_entries_compares() -> None:
    entries = list(licences().values())
    assert all(compare(entry, entry) == () for entry in entries)
    llama_3, llama_31 = licences()["llama-3"], licences()["llama-3.1"]
    changes = {change.clause: change for change in compare(llama_3, llama_31)}
    assert changes["outputs-train"].change == "changed" and changes["students-name"].change == "added"
    assert isinstance(changes["facts"], ClauseChange)
