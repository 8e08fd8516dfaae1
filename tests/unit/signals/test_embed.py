"""What a folder asks for is checked before anything of it is loaded, whether the extra is installed or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from freehold.domain.errors import StudentError
from freehold.signals.embed import embedder_for, load_embedder
from freehold.signals.text import HEAD, TAIL, hash_all, hash_text

OURS = "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding"


class Lengths:
    """An embedder of one dimension, which keeps what it reads."""

    dimensions = 1

    def __init__(self) -> None:
        self.reads: list[str] = []

    def embed(self, text: str) -> NDArray[np.float32]:
        return self.embed_all([text])[0]

    def embed_all(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.reads += texts
        return np.array([[len(text)] for text in texts], np.float32)


def test_an_embedder_reads_both_ends_of_a_prompt_and_many_prompts_at_once() -> None:
    seen = Lengths()
    texts = ["", "short", "a" * HEAD + "b" * 100_000 + "c" * TAIL]
    together, alone = hash_all(texts, seen), [hash_text(text, seen) for text in texts]
    assert seen.reads[2] == "a" * HEAD + " " + "c" * TAIL and seen.reads[:3] == seen.reads[3:]
    for one, other, length in zip(together, alone, (0, 5, HEAD + TAIL + 1), strict=True):
        assert one.buckets.tolist() == other.buckets.tolist()
        assert one.embedding is not None and other.embedding is not None
        assert one.embedding.tolist() == other.embedding.tolist() == [length]
    assert [text.embedding for text in hash_all(texts)] == [None] * 3


def folder_of(tmp_path: Path, kind: str = OURS) -> Path:
    (tmp_path / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "0_part", "type": kind}]))
    (tmp_path / "0_part").mkdir()
    (tmp_path / "0_part" / "config.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    "kind",
    [
        "modeling_mine.Mine",
        "Transformer",
        "os.path.StaticEmbedding",
        "sentence_transformers_mine.Pooling",
        "sentence_transformers.base.modules.router.Router",
    ],
)
def test_code_of_a_folder_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(StudentError, match="is not run"):
        load_embedder(folder_of(tmp_path, kind))


def test_pickles_adapters_and_what_is_no_model_are_refused(tmp_path: Path) -> None:
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(StudentError, match="no sentence-transformers folder"):
            load_embedder(missing)
    (tmp_path / "modules.json").write_text('{"type": 1}')
    with pytest.raises(StudentError, match="no sentence-transformers folder"):
        load_embedder(tmp_path)
    part = folder_of(tmp_path) / "0_part"
    (part / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(StudentError, match="a pickle"):
        load_embedder(tmp_path)
    (part / "pytorch_model.bin").unlink()
    (part / "adapter_config.json").write_text("{}")
    with pytest.raises(StudentError, match="adapter"):
        load_embedder(tmp_path)


def test_a_router_without_an_embedder_wants_none_and_one_with_it_does() -> None:
    assert embedder_for("/nowhere", {"prompts": {"embedded": 0}}) is None
    with pytest.raises(StudentError, match="none is set"):
        embedder_for("", {"prompts": {"embedded": 32}})
