"""The recorded upstream, over real sockets, through the real OpenAI SDK."""

import json
import subprocess
import sys
import time
from pathlib import Path

import openai
import polars
import pytest

from freehold.domain.errors import ConfigError
from freehold.upstreams.recorded import Pacing, RecordedAnswer, RecordedAnswers, load_answers, serve_in_thread

ROWS = [
    {"prompt": "Where is my card?", "response": "card_arrival"},
    {"prompt": "Two  spaces\nand a line", "response": "first line\n\nsecond  part "},
]


def client(base_url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0)


def ask(api: openai.OpenAI, prompt: str, model: str, system: str = "Classify.") -> str | None:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    return api.chat.completions.create(model=model, messages=messages).choices[0].message.content  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_file_is_served_plain_and_streamed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"answers.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        polars.DataFrame(ROWS).write_parquet(path)
    with serve_in_thread(load_answers(path, model="frontier-1")) as server:
        api = client(server.base_url)
        assert [model.id for model in api.models.list()] == ["frontier-1"]
        for row in ROWS:
            assert ask(api, row["prompt"], "frontier-1") == row["response"]
            messages = [{"role": "user", "content": row["prompt"]}]
            chunks = list(
                api.chat.completions.create(
                    model="frontier-1",
                    messages=messages,  # type: ignore[arg-type]
                    stream=True,
                    stream_options={"include_usage": True},
                )
            )
            assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == row["response"]
            assert chunks[-1].usage is not None
            assert chunks[-1].usage.completion_tokens == -(-len(row["response"]) // 4)
        assert server.app.served == 4


def test_unknown_prompt_and_model_are_openai_errors() -> None:
    with serve_in_thread(RecordedAnswers([RecordedAnswer(prompt="a", response="b", model="m")])) as server:
        api = client(server.base_url)
        with pytest.raises(openai.NotFoundError, match="No answer was recorded"):
            ask(api, "other", "m")
        with pytest.raises(openai.NotFoundError, match="was not recorded"):
            ask(api, "a", "n")
        with pytest.raises(openai.BadRequestError):
            api.post("/chat/completions", body={"model": "m"}, cast_to=object)


def test_answers_by_model_and_instructions_and_in_turn() -> None:
    rows = [
        RecordedAnswer(prompt="p", response="one", model="a"),
        RecordedAnswer(prompt="p", response="two", model="a"),
        RecordedAnswer(prompt="p", response="urgent", model="a", instructions="Urgent?"),
        RecordedAnswer(prompt="p", response="other", model="b"),
    ]
    answers = RecordedAnswers(rows)
    assert answers.models == ("a", "b")
    given = []
    for _ in range(3):
        found = answers.find("a", "Classify.", "p")
        assert found is not None
        given.append(found.response)
    assert given == ["one", "two", "one"]
    urgent = answers.find("a", "Urgent?", "p")
    assert urgent is not None and urgent.response == "urgent"
    assert RecordedAnswers(rows, model="b").models == ("b",)
    with pytest.raises(ConfigError, match="None of the recorded"):
        RecordedAnswers(rows, model="c")


def test_latency_and_pacing_are_kept() -> None:
    answers = RecordedAnswers([RecordedAnswer(prompt="a", response="one two three", model="m")])
    with serve_in_thread(answers, pacing=Pacing(latency_ms=60, chunk_ms=20)) as server:
        api = client(server.base_url)
        started = time.perf_counter()
        ask(api, "a", "m")
        assert time.perf_counter() - started >= 0.06
        started = time.perf_counter()
        list(api.chat.completions.create(model="m", messages=[{"role": "user", "content": "a"}], stream=True))
        assert time.perf_counter() - started >= 0.06 + 4 * 0.02


def test_command_prints_its_address_and_explains_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n")
    command = [sys.executable, "-m", "freehold.upstreams.recorded"]
    process = subprocess.Popen([*command, str(path), "--model-name", "m"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())
        assert ask(client(address["base_url"]), ROWS[0]["prompt"], "m") == "card_arrival"
    finally:
        process.terminate()
        process.wait(10)
    path.write_text('{"question": 1, "response": ""}\n')
    failed = subprocess.run([*command, str(path)], capture_output=True, text=True)
    assert failed.returncode == 2
    assert "prompt" in failed.stderr
