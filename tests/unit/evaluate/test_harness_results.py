"""What harnesses leave behind is read into one form; what they are told holds no key on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freehold.domain.errors import ConfigError, EvidenceError
from freehold.evaluate.harness import HarnessRun, run_harness
from freehold.evaluate.harness.inspect import InspectAdapter
from freehold.evaluate.harness.lm_eval import LmEvalAdapter

KEY = "fh-" + "k" * 32
RUN = HarnessRun(
    harness="lm-eval", tasks=("a", "b"), base_url="http://h/v1/", model="student/st_1,x=1", api_key=KEY, limit=5
)


def test_lm_eval_is_told_all_in_a_file_and_the_key_by_a_variable(tmp_path: Path) -> None:
    adapter = LmEvalAdapter()
    command = adapter.command(RUN, tmp_path)
    config = json.loads((tmp_path / "config.yaml").read_text())
    assert command[1:4] == ["-m", "lm_eval", "run"] and KEY not in " ".join(command) + json.dumps(config)
    assert config["model"] == "local-chat-completions" and config["limit"] == 5 and config["apply_chat_template"]
    assert config["model_args"]["base_url"] == "http://h/v1/chat/completions"
    assert config["model_args"]["model"] == "student/st_1,x=1" and config["tasks"] == ["a", "b"]
    assert adapter.environment(RUN)["OPENAI_API_KEY"] == KEY
    other = HarnessRun(
        harness="lm-eval", tasks=("a",), base_url="http://h/v1", model="m", completions=True, tokenizer="/t",
        include_path="tasks",
    )  # fmt: skip
    config = adapter.config(other, tmp_path)
    assert config["model"] == "local-completions" and config["model_args"]["tokenizer"] == "/t"
    assert config["model_args"]["base_url"] == "http://h/v1/completions" and not config["apply_chat_template"]
    assert config["include_path"] == str(Path("tasks").resolve()) and "limit" not in config
    assert adapter.environment(other)["OPENAI_API_KEY"] == "none"  # never the one of this machine's own OpenAI account


def test_figures_of_lm_eval(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "m"
    folder.mkdir(parents=True)
    figures = {
        "alias": "gsm8k", "exact_match,strict-match": 0.5, "exact_match_stderr,strict-match": 0.1, "bleu,none": 12,
        "bleu_stderr,none": "N/A", "sample_len": 4,
    }  # fmt: skip
    document = {"results": {"gsm8k": figures}, "n-samples": {"gsm8k": {"original": 9, "effective": 5}}, "more": 1}
    (folder / "results_2026.json").write_text(json.dumps(document))
    scores = LmEvalAdapter().scores(tmp_path)
    assert [(one.task, one.metric, one.value, one.stderr, one.samples) for one in scores] == [
        ("gsm8k", "exact_match (strict-match)", 0.5, 0.1, 5),
        ("gsm8k", "bleu", 12.0, None, 5),
    ]
    assert LmEvalAdapter().scores(tmp_path / "none") == ()


def test_inspect_is_told_by_variables_and_its_logs_are_read(tmp_path: Path) -> None:
    adapter, run = (
        InspectAdapter(),
        HarnessRun(harness="inspect", tasks=("a.py@b",), base_url="u", model="m", api_key=KEY),
    )
    command = adapter.command(run, tmp_path)
    assert KEY not in " ".join(command) and "openai-api/freehold/m" in command and "a.py@b" in command
    assert adapter.environment(run) == {"FREEHOLD_BASE_URL": "u", "FREEHOLD_API_KEY": KEY}
    logs = tmp_path / "logs"
    logs.mkdir()
    metrics = {"accuracy": {"name": "accuracy", "value": 0.25}, "stderr": {"name": "stderr", "value": 0.1}}
    scored = {"name": "exact", "metrics": metrics}
    log = {"status": "success", "eval": {"task": "b"}, "results": {"completed_samples": 4, "scores": [scored]}}
    (logs / "1.json").write_text(json.dumps(log))
    [score] = adapter.scores(tmp_path)
    assert (score.task, score.metric, score.value, score.stderr, score.samples) == ("b", "exact accuracy", 0.25, 0.1, 4)
    (logs / "2.json").write_text(
        json.dumps({"status": "error", "eval": {"task": "c"}, "error": {"message": "no such"}})
    )
    with pytest.raises(EvidenceError, match="c ended as error: no such"):
        adapter.scores(tmp_path)


def test_what_cannot_be_run_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="No task"):
        run_harness(HarnessRun(harness="lm-eval", tasks=(), base_url="u", model="m"))
    monkeypatch.setattr(LmEvalAdapter, "module", "no_such_module")
    with pytest.raises(ConfigError, match="not installed") as missing:
        run_harness(RUN)
    assert "freehold[harness]" in missing.value.hint


def test_a_harness_that_fails_says_why_and_never_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(code: str) -> EvidenceError:
        command = ["python3", "-c", f"import os; print('key', os.environ['OPENAI_API_KEY']); {code}"]
        monkeypatch.setattr(LmEvalAdapter, "command", lambda self, run, folder: command)
        with pytest.raises(EvidenceError) as failed:
            run_harness(RUN)
        assert KEY not in failed.value.message
        return failed.value

    assert "status 3:\nkey …" in told("raise SystemExit(3)").message
    assert "measured nothing" in told("pass").message
    slow = HarnessRun(harness="lm-eval", tasks=("a",), base_url="u", model="m", timeout_seconds=0.5)
    monkeypatch.setattr(LmEvalAdapter, "command", lambda self, run, folder: ["sleep", "20"])
    with pytest.raises(EvidenceError, match="not ended"):
        run_harness(slow)
