"""The server as OpenAI's client sees it, and what it does with requests that it cannot answer."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import openai
import pytest
from language_models import greedy, write_adapter, write_model
from student_servers import Running, running
from waiting import wait_for

pytest.importorskip("torch")
pytest.importorskip("transformers")

from freehold.domain.errors import StudentError
from freehold.serving.server import FolderModels, Limits, Worker, create_server

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "kind": {"enum": ["Größe", "質問", 'quo"te']},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {"done": {"type": "boolean"}},
                "required": ["done"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["name", "kind", "count", "items"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    write_model(folder / "tiny", max_position_embeddings=2048)
    for seed in (1, 2):
        write_adapter(folder / f"adapter{seed}", write_model(folder / "again", max_position_embeddings=2048), seed)
    write_adapter(folder / "wide", write_model(folder / "other", hidden_size=64), 3)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    worker = Worker()
    models = FolderModels(
        worker, folder / "tiny", adapters={"first": folder / "adapter1"}, adapter_root=folder, slots=8
    )
    with running(create_server(models, worker, limits=Limits(body_bytes=20_000, waiting=12))) as one:
        yield one


@pytest.fixture(scope="module")
def client(server: Running) -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def turn(content: str) -> Any:
    return [{"role": "user", "content": content}]


def test_openai_client_gets_what_transformers_says(client: Any, folder: Path) -> None:
    model = write_model(folder / "again", max_position_embeddings=2048)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "tiny")
    text = tokenizer.apply_chat_template(turn("häh 漢字?"), add_generation_prompt=True, tokenize=False)
    prompt = tokenizer(text, add_special_tokens=False).input_ids
    tokens, logprobs = greedy(model, prompt, 20)
    answer = client.chat.completions.create(
        model="tiny", messages=turn("häh 漢字?"), temperature=0, max_tokens=20, logprobs=True, top_logprobs=3
    )
    choice = answer.choices[0]
    ended = tokens[-1] == 0
    said = tokens[:-1] if ended else tokens
    assert choice.message.content == tokenizer.decode(said)
    assert choice.finish_reason == ("stop" if ended else "length")
    assert choice.logprobs is not None and choice.logprobs.content is not None
    assert [one.logprob for one in choice.logprobs.content] == pytest.approx(logprobs[: len(said)], abs=1e-3)
    assert choice.logprobs.model_extra is not None
    assert choice.logprobs.model_extra["total"] == pytest.approx(sum(logprobs), abs=1e-3)
    assert all(one.top_logprobs[0].logprob == pytest.approx(one.logprob) for one in choice.logprobs.content)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(prompt), len(tokens))


def test_streamed_pieces_make_the_whole_answer(client: Any) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": turn("ein Strom ü"), "max_tokens": 40, "temperature": 0}
    whole = client.chat.completions.create(**asked, logprobs=True)
    chunks = list(
        client.chat.completions.create(**asked, logprobs=True, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == (
        whole.choices[0].message.content
    )
    pieces = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices]
    tokens = [one.logprob for piece in pieces if piece is not None for one in piece.content or []]
    assert whole.choices[0].logprobs is not None
    # What is shared with the first request was computed together with it: the last digits are others.
    assert tokens == pytest.approx([one.logprob for one in whole.choices[0].logprobs.content or []], abs=1e-4)
    last = next(piece for piece in reversed(pieces) if piece is not None)
    total = (whole.choices[0].logprobs.model_extra or {})["total"]
    assert (last.model_extra or {})["total"] == pytest.approx(total, abs=1e-3)
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage is not None and whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_several_answers_seeds_and_stop_strings(client: Any) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": turn("roll"), "max_tokens": 30, "temperature": 1.0}
    first = client.chat.completions.create(**asked, n=3, seed=4)
    again = client.chat.completions.create(**asked, n=3, seed=4)
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in again.choices]
    assert len(set(texts)) == 3
    assert client.chat.completions.create(**asked, top_p=1e-6).choices[0].message.content == (
        client.chat.completions.create(**{**asked, "temperature": 0}).choices[0].message.content
    )
    whole = client.chat.completions.create(**{**asked, "temperature": 0}).choices[0].message.content or ""
    stop = whole[6:9]
    cut = client.chat.completions.create(**{**asked, "temperature": 0}, stop=[stop, "never"]).choices[0]
    assert cut.message.content == whole[: whole.index(stop)]
    assert cut.finish_reason == "stop"
    streamed = client.chat.completions.create(**{**asked, "temperature": 0}, stop=stop, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == cut.message.content


def test_answers_by_schema_are_valid_however_they_are_sampled(client: Any) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": SCHEMA}}

    def ask(seed: int) -> str:
        answer = client.chat.completions.create(
            model="tiny", messages=turn("as JSON"), temperature=1.2, seed=seed, response_format=form, max_tokens=900
        )
        assert answer.choices[0].finish_reason == "stop"
        return answer.choices[0].message.content or ""

    with ThreadPoolExecutor(6) as pool:
        for text in pool.map(ask, range(18)):
            jsonschema.validate(json.loads(text), SCHEMA)
    free = client.chat.completions.create(
        model="tiny", messages=turn("any"), temperature=0.8, seed=1, response_format={"type": "json_object"},
        max_tokens=1800,
    ).choices[0]  # fmt: skip
    assert (free.message.content or "").startswith("{")


def test_lm_evaluation_harness_form_scores_a_prompts_own_tokens(client: Any, folder: Path) -> None:
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "tiny")
    model = write_model(folder / "again", max_position_embeddings=2048)
    prompt = tokenizer("the lazy dog jumps").input_ids
    answer = client.completions.create(
        model="tiny", prompt=[prompt], echo=True, logprobs=1, max_tokens=1, temperature=0
    )
    found = answer.choices[0].logprobs
    assert found is not None and found.token_logprobs is not None and found.top_logprobs is not None
    with torch.inference_mode():
        rows = torch.log_softmax(model(torch.tensor([prompt])).logits[0], -1)
    wanted = [float(rows[place, token]) for place, token in enumerate(prompt[1:])]
    assert found.token_logprobs[0] is None
    assert found.token_logprobs[1:-1] == pytest.approx(wanted, abs=1e-3)
    assert [max(top.values()) for top in found.top_logprobs[1:-1]] == pytest.approx(
        rows[:-1].max(-1).values.tolist(), abs=1e-3
    )
    texts = client.completions.create(model="tiny", prompt=["the", "quick"], max_tokens=4, n=2, temperature=0)
    assert [choice.index for choice in texts.choices] == [0, 1, 2, 3]
    pieces = client.completions.create(model="tiny", prompt="the", max_tokens=4, temperature=0, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == texts.choices[0].text


def test_adapters_come_and_go_by_request(server: Running) -> None:
    base, first = server.chat("tiny")[1], server.chat("first")[1]
    assert base["choices"] != first["choices"]
    load = {"lora_name": "late", "lora_path": "adapter1"}
    assert server.ask("/v1/load_lora_adapter", load)[0] == 200
    assert server.chat("late")[1]["choices"] == first["choices"]
    assert server.ask("/v1/load_lora_adapter", load)[0] == 400
    assert server.ask("/v1/load_lora_adapter", {**load, "lora_path": "adapter2", "load_inplace": True})[0] == 200
    assert server.chat("late")[1]["choices"] != first["choices"]
    assert [one["id"] for one in server.ask("/v1/models")[1]["data"]] == ["tiny", "first", "late"]
    assert server.ask("/v1/unload_lora_adapter", {"lora_name": "late"})[0] == 200
    assert server.chat("late")[0] == 404
    assert server.ask("/v1/unload_lora_adapter", {"lora_name": "late"})[0] == 404
    assert server.ask("/v1/load_lora_adapter", {"lora_name": "bad", "lora_path": "wide"})[0] == 503
    refused = server.ask("/v1/load_lora_adapter", {"lora_name": "bad", "lora_path": "wide"})[1]
    assert "another base" in refused["error"]["message"]
    assert server.ask("/v1/load_lora_adapter", {"lora_name": "bad", "lora_path": "../.."})[0] == 403
    assert server.chat("tiny")[1]["choices"] == base["choices"]


def test_a_stream_ends_on_the_weights_it_began_with(server: Running, client: Any) -> None:
    load = {"lora_name": "hot", "lora_path": "adapter1", "load_inplace": True}
    server.ask("/v1/load_lora_adapter", load)
    asked: dict[str, Any] = {"messages": turn("long"), "max_tokens": 600, "temperature": 0}
    asked["extra_body"] = {"ignore_eos": True}
    wanted = client.chat.completions.create(model="hot", **asked).choices[0].message.content
    stream = client.chat.completions.create(model="hot", stream=True, **asked)
    parts = [next(stream).choices[0].delta.content or "" for _ in range(3)]
    server.ask("/v1/load_lora_adapter", {**load, "lora_path": "adapter2"})
    swapped = client.chat.completions.create(model="hot", **asked).choices[0].message.content
    server.ask("/v1/unload_lora_adapter", {"lora_name": "hot"})
    chunks = list(stream)
    parts += [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(parts) == wanted
    assert chunks[-1].choices[0].finish_reason == "length"
    assert swapped != wanted


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"model": "nobody"}, 404, "no model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, 400, "text"),
        ({"messages": [{"content": "x"}]}, 400, "role"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"max_tokens": "many"}, 400, "max_tokens"),
        ({"temperature": -1}, 400, "temperature"),
        ({"n": 1000}, 400, "n"),
        ({"logit_bias": {"1": 5}}, 400, "logit_bias"),
        ({"top_logprobs": 3}, 400, "logprobs"),
        ({"stop": [str(number) for number in range(40)]}, 400, "stop"),
        ({"response_format": {"type": "json_schema"}}, 400, "schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "strange"}}}}, 400, "schema"),
        ({"messages": [{"role": "user", "content": "a b " * 4000}]}, 400, "context"),
        ({"messages": [{"role": "user", "content": "x" * 30_000}]}, 413, "20000"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_openais_form(
    server: Running, change: dict[str, Any], status: int, said: str
) -> None:
    found, document, _ = server.chat(**{"model": "tiny", **change})
    assert (found, status) == (status, status), document
    assert said in document["error"]["message"]
    assert set(document["error"]) == {"message", "type", "param", "code"}
    assert server.chat("tiny")[0] == 200


def test_bodies_that_are_no_json_are_refused(server: Running) -> None:
    for body in (b"", b"{", b"[]", b"\xff\xfe", b'{"model": "tiny"}', b"[" * 10_000):
        assert server.ask("/v1/chat/completions", body)[0] == 400
    assert server.ask("/v1/completions", {"model": "tiny", "prompt": []})[0] == 400
    assert server.ask("/v1/completions", {"model": "tiny", "prompt": [10**9]})[0] == 400


def test_more_than_may_wait_are_told_to_come_again(server: Running) -> None:
    statuses: list[tuple[int, str]] = []

    def ask(_: int) -> None:
        status, _document, headers = server.chat("tiny", n=4, max_tokens=400, ignore_eos=True)
        statuses.append((status, headers.get("retry-after", "")))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(ask, range(12)))
    assert (429, "1") in statuses and (200, "") in statuses
    assert server.chat("tiny")[0] == 200


def test_an_answer_that_nobody_waits_for_is_not_computed(server: Running, client: Any) -> None:
    def busy() -> int:
        page = server.ask("/metrics")[1]
        lines = [line for line in page.splitlines() if line.startswith("freehold_student_server_running ")]
        return int(lines[0].split()[1])

    stream = client.chat.completions.create(
        model="tiny", messages=turn("go"), max_tokens=2000, stream=True, extra_body={"ignore_eos": True}
    )
    next(stream)
    next(stream)
    stream.close()
    short: Any = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=0.05)
    failed = threading.Event()
    try:
        short.chat.completions.create(
            model="tiny", messages=turn("go"), n=8, max_tokens=1900, extra_body={"ignore_eos": True}
        )
    except openai.APITimeoutError:
        failed.set()
    assert failed.is_set()
    wait_for(lambda: busy() == 0)
    page = server.ask("/metrics")[1]
    assert 'freehold_student_server_requests_total{model="tiny",status="200"}' in page
    assert 'freehold_student_server_first_token_seconds_count{model="tiny"}' in page


def test_the_pages_example_runs(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "students-serving.md").read_text(encoding="utf-8")
    for example in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S):
        exec(example.replace("http://127.0.0.1:8485", server.url), {})
    assert float(capsys.readouterr().out.splitlines()[-1]) < 0
    for path in ("/v1/models", "/health", "/metrics"):
        assert path in page and server.ask(path)[0] == 200


def test_a_key_is_asked_for_where_one_is_set(folder: Path) -> None:
    worker = Worker()
    with running(create_server(FolderModels(worker, folder / "tiny"), worker, api_key="sésame")) as one:
        assert one.ask("/health")[0] == 200
        assert one.ask("/v1/models")[0] == 401
        assert one.ask("/v1/models", key="wrong")[1]["error"]["code"] == "invalid_api_key"
        assert one.ask("/v1/load_lora_adapter", {"lora_name": "a", "lora_path": "b"})[0] == 401


def test_damaged_weights_end_only_the_requests_that_meet_them(folder: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "broken")
    model.model.layers[1].mlp.down_proj.weight.data[0, 0] = math.nan
    model.save_pretrained(tmp_path / "broken")
    worker = Worker()
    with running(create_server(FolderModels(worker, tmp_path / "broken"), worker)) as one:
        status, document, _ = one.chat("broken")
        assert status == 503
        assert "no number" in document["error"]["message"]
        assert one.ask("/health")[0] == 200


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_folder_without_its_files_says_which(folder: Path, tmp_path: Path, missing: str) -> None:
    write_model(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(StudentError, match=missing.replace(".safetensors", "")):
        FolderModels(Worker(), tmp_path)


def test_other_architectures_are_sent_elsewhere(tmp_path: Path) -> None:
    write_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["GPT2LMHeadModel"]}))
    with pytest.raises(StudentError, match=r"GPT2LMHeadModel.*vLLM"):
        FolderModels(Worker(), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_size": 40}))
    with pytest.raises(StudentError, match="does not fit together"):
        FolderModels(Worker(), tmp_path)
