"""The engine's parts that need no model: text as it comes, choices, what is kept of earlier requests."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from language_models import write_tokenizer

pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from freehold.domain.errors import RequestError, StudentError
from freehold.serving.engine.cache import LEAST_SHARED, Beginnings, as_tokens
from freehold.serving.engine.config import read_config, rotations
from freehold.serving.engine.grammar import MAX_SCHEMA_BYTES, Grammars
from freehold.serving.engine.sampling import best_of, likeliest, sample
from freehold.serving.engine.text import Words
from freehold.serving.server.protocol import ChatRequest, plain_messages, prompts_of, read_body


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Words:
    folder = tmp_path_factory.mktemp("words")
    write_tokenizer(folder)
    return Words(folder)


@given(text=st.text(max_size=60))
def test_text_comes_back_whole_and_piece_by_piece(words: Words, text: str) -> None:
    tokens = words.encode(text, special=False)
    assert words.decode(tokens) == text
    speech = words.speech(())
    said = ""
    for token in tokens:
        speech.add(token)
        said += speech.new()
        assert text.startswith(said)
    speech.end()
    assert said + speech.new() == text


@given(text=st.text("ab<>/", max_size=40), stops=st.lists(st.text("ab<>/", min_size=1, max_size=4), max_size=3))
def test_a_stop_string_ends_the_text_and_is_never_said(words: Words, text: str, stops: list[str]) -> None:
    speech = words.speech(tuple(stops))
    said = ""
    for letter in text:
        for token in words.encode(letter, special=False):
            speech.add(token)
        said += speech.new()
        if speech.stopped:
            break
    speech.end()
    said += speech.new()
    places = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    wanted = min((start for end, start in places if end == min(places)[0]), default=len(text))
    assert said == text[:wanted]
    assert speech.stopped == bool(places)


def test_sentencepiece_tokenizers_have_their_spaces(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {"<unk>": 0, "▁hello": 1, "▁world": 2, **{f"<0x{byte:02X}>": 3 + byte for byte in range(256)}}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    words = Words(tmp_path)
    tokens = [1, 2, *(3 + byte for byte in "ü".encode())]
    assert words.decode(tokens) == tokenizer.decode(tokens) == "hello worldü"
    with pytest.raises(RequestError, match="no chat template"):
        words.conversation([{"role": "user", "content": "x"}])
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(StudentError, match=r"tokenizer\.json"):
        Words(tmp_path)


def test_choices_have_the_probabilities_they_should() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (3, 50)).astype(np.float32)
    best = best_of(logits, spread=True)
    wanted = logits - np.log(np.exp(logits.astype(np.float64)).sum(1, keepdims=True))
    assert best.spreads is not None
    assert -best.spreads == pytest.approx(wanted.max(1), abs=1e-5)
    top = likeliest(logits[0], 5, float(best.peaks[0]), float(best.spreads[0]))
    assert [one.token for one in top] == np.argsort(-logits[0])[:5].tolist()
    assert [one.logprob for one in top] == pytest.approx(np.sort(wanted[0])[::-1][:5].tolist(), abs=1e-5)
    drawn = np.bincount([sample(logits[1], 1.0, 1.0, rng) for _ in range(20_000)], minlength=50) / 20_000
    assert np.abs(drawn - np.exp(wanted[1])).max() < 0.02
    some = {sample(logits[1], 1.0, 0.5, rng) for _ in range(500)}
    order = np.argsort(-logits[1])
    few = int(np.searchsorted(np.cumsum(np.exp(wanted[1][order])), 0.5)) + 1
    assert some == set(order[:few].tolist())
    forbidden = np.where(np.arange(50) == 7, 0.0, -np.inf).astype(np.float32)
    assert sample(forbidden, 2.0, 0.9, rng) == sample(forbidden, 0.0, 1.0, rng) == 7


def test_earlier_requests_are_found_by_their_beginning_and_make_room() -> None:
    kept = Beginnings(most_tokens=100)
    start = list(range(LEAST_SHARED))

    def keep(*more: int, owner: object = None) -> None:
        tokens = as_tokens([*start, *more])
        if kept.wants(owner, tokens):
            kept.keep(owner, tokens, (tokens, tokens))

    keep(1, 2, 3)
    keep(1, 9)
    found = kept.find(None, as_tokens([*start, 1, 2, 4]))
    assert found is not None and found[1] == LEAST_SHARED + 2
    assert kept.find("adapter", as_tokens([*start, 1])) is None
    assert not kept.wants(None, as_tokens([*start, 1]))
    assert not kept.wants(None, as_tokens(start[:-1]))
    keep(1, 2, 3, 4)  # goes on from the first
    found = kept.find(None, as_tokens([*start, 1, 2, 3, 4, 5]))
    assert found is not None and found[1] == LEAST_SHARED + 4
    keep(5, owner="adapter")
    kept.forget("adapter")
    assert kept.find("adapter", as_tokens([*start, 5])) is None
    other = as_tokens(range(100, 190))
    kept.keep(None, other, (other, other))
    assert kept.find(None, as_tokens([*start, 1])) is None
    assert kept.find(None, other) is not None


def test_schemas_that_cannot_be_kept_to_are_refused(words: Words) -> None:
    grammars = Grammars(words.json, 300, (0,))
    with pytest.raises(RequestError, match="bytes"):
        grammars.matcher({"enum": ["x" * MAX_SCHEMA_BYTES]})
    with pytest.raises(RequestError, match="cannot be"):
        grammars.matcher({"type": "string", "pattern": "(?=x)y("})
    logits = np.zeros(300, np.float32)
    matcher = grammars.matcher({"const": {"a": "ü"}})
    matcher.forbid(logits)
    allowed = {words.piece(token)[:1] for token in np.flatnonzero(np.isfinite(logits)).tolist()}
    assert b"{" in allowed and b"}" not in allowed
    with pytest.raises(RuntimeError):
        matcher.consume(words.encode("]", special=False)[0])


def test_configurations_are_read_or_refused(tmp_path: Path) -> None:
    shape = {
        "architectures": ["MistralForCausalLM"], "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 4, "vocab_size": 100, "max_position_embeddings": 4096, "eos_token_id": [1, 2],
    }  # fmt: skip

    def write(**more: object) -> None:
        (tmp_path / "config.json").write_bytes(msgspec.json.encode({**shape, **more}))

    write(sliding_window=512)
    config = read_config(tmp_path)
    assert (config.kv_heads, config.head_dim, config.context, config.ends) == (4, 8, 512, (1, 2))
    assert rotations(config, 4)[0] == pytest.approx(np.ones(4))
    write(rope_scaling={"type": "linear", "factor": 2.0})
    assert rotations(read_config(tmp_path), 9)[8] == pytest.approx(rotations(config, 9)[4])
    for odd in ({"hidden_act": "gelu"}, {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, {"architectures": []}):
        write(**odd)
        with pytest.raises(StudentError, match="engine"):
            read_config(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StudentError, match=r"config\.json"):
        read_config(tmp_path)


def test_requests_are_read_in_openais_form() -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "user": "u"}'
    read = read_body(body, ChatRequest)
    assert plain_messages(read.messages) == [{"role": "user", "content": "a"}]
    assert prompts_of("a") == ["a"] and prompts_of(["a", "b"]) == ["a", "b"]
    assert prompts_of([1, 2]) == [[1, 2]] and prompts_of([[1], [2]]) == [[1], [2]]
    with pytest.raises(RequestError):
        prompts_of([[1], "b"])
