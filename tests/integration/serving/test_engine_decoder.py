"""The engine computes what transformers and peft compute, whatever else it computes at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from language_models import END, greedy, write_adapter, write_model

pytest.importorskip("torch")
pytest.importorskip("transformers")

from freehold.serving.engine import Ask, Engine, Running, load_engine

PROMPTS = [[9, 20, 31, 42], [5 + place * 7 % 200 for place in range(40)], [100], [8, 8, 250, 17, 60, 61, 62]]


def answers(engine: Engine, asks: list[Ask]) -> list[Running]:
    running = [engine.submit(ask) for ask in asks]
    while engine.busy:
        engine.step()
    return running


def whole(one: Running) -> list[int]:
    return [*one.tokens, END] if one.finish == "stop" else one.tokens


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("llama")
    return folder, write_model(folder, tie_word_embeddings=True)


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("llama", {"tie_word_embeddings": False}),
        ("llama", {"num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True}),
        ("llama", {"rope_parameters": LLAMA3, "head_dim": 16}),
        ("mistral", {"sliding_window": None}),
        ("qwen2", {"num_hidden_layers": 1}),
        ("qwen3", {"head_dim": 16}),
    ],
)
def test_greedy_answers_and_their_logprobs_are_transformers(tmp_path: Path, kind: str, more: dict[str, Any]) -> None:
    model = write_model(tmp_path, kind, **more)
    engine = load_engine(tmp_path, slots=8)
    asked = answers(engine, [Ask(prompt=prompt, max_tokens=24, logprobs=True) for prompt in PROMPTS])
    for prompt, one in zip(PROMPTS, asked, strict=True):
        tokens, logprobs = greedy(model, prompt, 24)
        assert whole(one) == tokens
        assert one.logprobs == pytest.approx(logprobs[: len(one.tokens)], abs=1e-3)
        assert one.total == pytest.approx(sum(logprobs), abs=1e-3)


def test_answers_are_the_same_alone_and_among_others_that_come_and_go(llama: tuple[Path, Any]) -> None:
    engine = load_engine(llama[0], slots=3)
    asks = [Ask(prompt=PROMPTS[place % 4][: 1 + place], max_tokens=3 + 5 * place, logprobs=True) for place in range(9)]
    together = answers(engine, asks)
    alone = [answers(load_engine(llama[0], slots=1), [ask])[0] for ask in asks]
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    assert [one.total for one in together] == pytest.approx([one.total for one in alone], abs=1e-3)


def test_prompts_longer_than_a_piece_do_not_disturb_those_that_run(
    llama: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freehold.serving.engine.engine.PROMPT_TOKENS", 16)
    engine = load_engine(llama[0], slots=4)
    asks = [Ask(prompt=PROMPTS[1] + PROMPTS[1][:length], max_tokens=12, logprobs=True) for length in (1, 30, 9, 20)]
    asks = [Ask(prompt=[9, 20, 31], max_tokens=4), *asks]
    for ask, one in zip(asks, answers(engine, asks), strict=True):
        assert whole(one) == greedy(llama[1], list(ask.prompt), ask.max_tokens)[0]


def test_a_shared_beginning_changes_nothing_and_is_not_computed_again(llama: tuple[Path, Any]) -> None:
    engine = load_engine(llama[0], slots=4)
    start = PROMPTS[1][:32]
    asks = [Ask(prompt=[*start, 7 + place], max_tokens=10, logprobs=True) for place in range(4)]
    first = answers(engine, asks[:1])[0]
    again = answers(engine, asks)
    assert again[0].tokens == first.tokens
    assert [one.shared for one in again] == [32] * 4
    for ask, one in zip(asks, again, strict=True):
        fresh = answers(load_engine(llama[0], slots=1), [ask])[0]
        assert one.tokens == fresh.tokens
        assert one.total == pytest.approx(fresh.total, abs=1e-3)
    # A conversation that goes on shares its earlier answer too.
    on = answers(engine, [Ask(prompt=[*asks[0].prompt, *first.tokens, 44, 45], max_tokens=4)])[0]
    assert on.shared >= 32 + len(first.tokens)


def test_adapters_mixed_in_one_batch_answer_as_pefts_own(tmp_path: Path) -> None:
    base = tmp_path / "base"
    write_model(base)
    engine = load_engine(base, slots=8)
    targets = {"one": None, "two": ("q_proj", "v_proj"), "three": ("gate_proj", "down_proj")}
    prompts = {name: PROMPTS[place] for place, name in enumerate(targets)}
    adapters: dict[str, Any] = {}
    wanted: dict[str, list[int]] = {}
    for place, (name, which) in enumerate(targets.items()):
        model = write_adapter(tmp_path / name, write_model(tmp_path / "again"), 10 + place, 2 + 2 * place, which)
        wanted[name] = greedy(model, prompts[name], 16)[0]
        adapters[name] = engine.load_adapter(name, tmp_path / name)
    plain = greedy(write_model(tmp_path / "again"), prompts["one"], 16)[0]
    asks = [Ask(prompt=prompts[name], max_tokens=16, adapter=adapters[name]) for name in targets]
    together = answers(engine, [*asks, Ask(prompt=prompts["one"], max_tokens=16), *asks])
    assert [whole(one) for one in together] == [*wanted.values(), plain, *wanted.values()]
    assert whole(answers(engine, asks[:1])[0]) == wanted["one"]


def test_the_decoder_of_prompts_computes_single_tokens_too(llama: tuple[Path, Any]) -> None:
    engine, other = load_engine(llama[0], slots=4), load_engine(llama[0], slots=4)
    other._quick = None  # as on a GPU
    asks = [Ask(prompt=prompt, max_tokens=16, logprobs=True) for prompt in PROMPTS]
    for one, two in zip(answers(engine, asks), answers(other, asks), strict=True):
        assert one.tokens == two.tokens
        assert one.total == pytest.approx(two.total, abs=1e-3)
