"""GGUF files: what is in them, against the model they were made of; and, where it is installed, what llama.cpp says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("gguf")

import gguf
import tokenizers
from safetensors.numpy import load_file
from student_folders import write_manifest
from tiny_models import TEXTS, digits_and_bytes, make_adapter, make_model
from tokenizers import Regex, normalizers, pre_tokenizers

from freehold.config import ModelSettings, Settings
from freehold.domain.errors import RequestError, StudentError, TrainingError
from freehold.serving.bases import find_base
from freehold.serving.bases.weights import as_floats
from freehold.serving.export import export_gguf, modelfile, source_of
from freehold.serving.export.student import student_source
from freehold.serving.export.vocabulary import _LLAMA3, _QWEN
from freehold.serving.folder import BaseUsed

LLAMA = os.environ.get("FREEHOLD_LLAMA_PYTHON") or (sys.executable if find_spec("llama_cpp") else "")
"""A Python that has llama-cpp-python."""
HARD = [
    "abc 123 4.50€ 007",
    "  two  spaces\n\n\ttab \n 1",
    "Ünïcödé ñ ß 漢字 かな 한국어 العربية עברית हिन्दी ไทย",
    "😀👩‍👩‍👧‍👦🇩🇪 e\u0301 \ufeff\u200b",
    "it's I'LL don't ½ Ⅷ ٣٤ ²³ ①",
    "a\r\nb\r\n\r\nc   ",
    "<|user|>hi<|end|><|assistant|> <|nothing|>",
    "\u00a0nbsp\u2003em\u200bzw\u0085nel\u3000",
    "x=[1,2];y={'k':-1e9} // #!? \\n",
    "",
]


def split_by(pattern: str) -> Any:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def field(reader: gguf.GGUFReader, name: str) -> Any:
    found = reader.get_field(name)
    assert found is not None, name
    return found.contents()


def llama(asked: dict[str, Any]) -> dict[str, Any]:
    if not LLAMA:
        pytest.skip("llama-cpp-python is not installed (FREEHOLD_LLAMA_PYTHON names a Python that has it)")
    script = Path(__file__).parents[3] / "bench" / "students" / "llama_side.py"
    ran = subprocess.run([LLAMA, str(script)], input=json.dumps(asked), capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


def unrotated(value: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """The inverse of the order that ggml wants, row by row."""
    size = value.shape[0] // heads
    back = np.empty_like(value)
    for head in range(heads):
        for row in range(size // 2):
            back[head * size + row] = value[head * size + 2 * row]
            back[head * size + size // 2 + row] = value[head * size + 2 * row + 1]
    return back


def test_the_file_holds_the_model(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "tiny", tied=False)
    written = export_gguf(source_of(folder), tmp_path / "tiny.gguf", "f32", name="st_1")
    reader = gguf.GGUFReader(tmp_path / "tiny.gguf")
    assert written.bytes == (tmp_path / "tiny.gguf").stat().st_size and written.pre == "smollm"
    assert field(reader, "general.architecture") == "llama" and field(reader, "general.name") == "st_1"
    assert field(reader, "llama.context_length") == 256 and field(reader, "llama.attention.head_count_kv") == 2
    core = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = field(reader, "tokenizer.ggml.tokens")
    assert tokens == [core.id_to_token(at) for at in range(core.get_vocab_size())]
    assert field(reader, "tokenizer.ggml.eos_token_id") == tokens.index("<|end|>")
    assert field(reader, "tokenizer.ggml.token_type")[:6] == [3] * 6
    template = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    assert field(reader, "tokenizer.chat_template") == template
    weights, heads = load_file(folder / "model.safetensors"), {"q_proj": 4, "k_proj": 2}
    there = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    assert len(there) == len(weights) == written.tensors
    for name in ("q_proj", "k_proj"):
        ours = there[f"blk.1.attn_{name[0]}.weight"]
        assert np.array_equal(unrotated(ours, heads[name]), weights[f"model.layers.1.self_attn.{name}.weight"])
    assert np.array_equal(there["blk.0.ffn_down.weight"], weights["model.layers.0.mlp.down_proj.weight"])
    assert np.array_equal(there["output.weight"], weights["lm_head.weight"])
    again = export_gguf(source_of(folder), tmp_path / "again.gguf", "f32", name="st_1")
    assert again.path.read_bytes() == written.path.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.gguf", "tiny", "tiny.gguf"]


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_narrower_numbers_are_near_and_smaller(tmp_path: Path, kind: Any) -> None:
    folder = make_model(tmp_path / "tiny")
    whole = export_gguf(source_of(folder), tmp_path / "f32.gguf", "f32").bytes
    written = export_gguf(source_of(folder), tmp_path / "narrow.gguf", kind)
    assert written.bytes < whole * (0.6 if kind == "f16" else 0.4)
    weights = load_file(folder / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    [tensor] = [one for one in gguf.GGUFReader(written.path).tensors if one.name == "blk.0.ffn_up.weight"]
    back = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(weights.shape)
    assert 0 < np.abs(back - weights).max() < 0.02
    assert {
        one.tensor_type.name for one in gguf.GGUFReader(written.path).tensors if one.name.endswith("norm.weight")
    } == {"F32"}


def test_an_adapter_is_merged_as_peft_merges_it(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    make_adapter(tmp_path / "student" / "adapter")
    merged = source_of(tmp_path / "student", base)
    plain, added = (
        load_file(base / "model.safetensors"),
        load_file(tmp_path / "student" / "adapter" / "adapter_model.safetensors"),
    )
    name = "model.layers.1.self_attn.v_proj"
    change = added[f"base_model.model.{name}.lora_B.weight"] @ added[f"base_model.model.{name}.lora_A.weight"] * 2.0
    assert np.allclose(merged.weight(f"{name}.weight"), plain[f"{name}.weight"] + change, atol=1e-6)
    untouched = "model.layers.1.self_attn.o_proj.weight"
    assert np.array_equal(merged.weight(untouched), as_floats(merged.tensors[untouched]))
    other = make_model(tmp_path / "other", hidden=64, heads=4)
    with pytest.raises(StudentError, match="for another base"):
        export_gguf(source_of(tmp_path / "student", other), tmp_path / "x.gguf")
    shallow = make_model(tmp_path / "shallow", layers=1)
    with pytest.raises(StudentError, match="which this one has not"):
        source_of(tmp_path / "student", shallow)
    with pytest.raises(StudentError, match="base model was not given"):
        source_of(tmp_path / "student")
    assert not (tmp_path / "x.gguf").exists() and not list(tmp_path.glob(".*"))


SPLITTINGS: dict[str, tuple[Any, str]] = {
    "smollm": (digits_and_bytes, "LlamaForCausalLM"),
    "gpt-2": (lambda: pre_tokenizers.ByteLevel(add_prefix_space=False), "MistralForCausalLM"),
    "qwen2": (lambda: split_by(_QWEN), "Qwen2ForCausalLM"),
    "llama-bpe": (lambda: split_by(_LLAMA3), "LlamaForCausalLM"),
    "llama-bpe in Qwen3": (lambda: split_by(_LLAMA3), "Qwen3ForCausalLM"),
}


@pytest.mark.parametrize("name", SPLITTINGS)
def test_llama_cpp_gives_the_same_tokens_and_answers(tmp_path: Path, name: str) -> None:
    splitting, architecture = SPLITTINGS[name]
    pre = name.partition(" ")[0]
    folder = make_model(tmp_path / "tiny", architecture=architecture, splitting=splitting(), tied=pre != "gpt-2")
    if pre == "llama-bpe":
        content = json.loads((folder / "tokenizer.json").read_text())
        content["model"]["ignore_merges"] = True
        (folder / "tokenizer.json").write_text(json.dumps(content))
    if name == "llama-bpe":
        rope = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0}
        rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 32}
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "rope_parameters": rope}))
    written = export_gguf(source_of(folder), tmp_path / "tiny.gguf", "f32")
    assert written.pre == pre
    core = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    prompts = TEXTS[:60:5]
    said = llama({"gguf": str(written.path), "texts": HARD + TEXTS[:40], "prompts": prompts, "max_tokens": 16})
    assert said["tokens"] == [core.encode(text, add_special_tokens=False).ids for text in HARD + TEXTS[:40]]
    torch: Any = pytest.importorskip("torch")
    model: Any = pytest.importorskip("transformers").AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    answers: list[list[int]] = []
    for prompt in prompts:
        ids = core.encode(f"<|user|>{prompt}<|end|><|assistant|>", add_special_tokens=False).ids
        found = model.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False)[0][len(ids) :].tolist()
        answers.append(found[: found.index(1)] if 1 in found else found)
    assert said["rendered"][0] == f"<|user|>{prompts[0]}<|end|><|assistant|>"
    assert said["answer_ids"] == answers


@pytest.mark.parametrize(
    ("splitting", "said"),
    [
        (pre_tokenizers.Whitespace(), "does not work on bytes"),
        (pre_tokenizers.ByteLevel(add_prefix_space=True), "does not work on bytes"),
        (split_by(r"\w+|\W+"), "a way of its own"),
        (
            pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(False)]),
            "a way of its own",
        ),
        (split_by(_LLAMA3), "before it merges"),
    ],
)
def test_a_tokenizer_that_llama_cpp_does_not_know_is_refused(tmp_path: Path, splitting: Any, said: str) -> None:
    folder = make_model(tmp_path / "tiny", splitting=splitting)
    with pytest.raises(StudentError, match=said) as caught:
        export_gguf(source_of(folder), tmp_path / "x.gguf")
    assert "student serve" in caught.value.hint and not (tmp_path / "x.gguf").exists()


def test_a_tokenizer_that_rewrites_texts_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "tiny")
    core = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    core.normalizer = normalizers.Lowercase()
    (folder / "tokenizer.json").write_text(core.to_str())
    with pytest.raises(StudentError, match="rewrites texts"):
        export_gguf(source_of(folder), tmp_path / "x.gguf")


@pytest.mark.parametrize(
    ("config", "error", "said"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, TrainingError, "GPT2LMHeadModel"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, TrainingError, "yarn"),
        ({"hidden_act": "gelu"}, TrainingError, "gelu"),
        ({"num_hidden_layers": 3}, StudentError, "lacks model.layers.2"),
        ({"num_hidden_layers": 1}, StudentError, "has model.layers.1"),
        ({"vocab_size": 100}, StudentError, "not of one model"),
        ({"rms_norm_eps": "small"}, StudentError, "rms_norm_eps"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path: Path, config: dict[str, Any], error: Any, said: str) -> None:
    folder = make_model(tmp_path / "tiny", config=config)
    with pytest.raises(error, match=said):
        export_gguf(source_of(folder), tmp_path / "x.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_text("mine")
    with pytest.raises(RequestError):
        export_gguf(source_of(make_model(tmp_path / "tiny")), tmp_path / "x.gguf")
    assert (tmp_path / "x.gguf").read_text() == "mine"


def test_a_stored_student_is_checked_before_it_is_exported(tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "tiny")
    settings = Settings(models=ModelSettings(folders=(str(tmp_path / "models"),)), data_dir=str(tmp_path / "data"))
    student = tmp_path / "student"
    make_adapter(student / "adapter")
    digest = write_manifest(student, "adapter", find_base(settings, "tiny").used)
    assert student_source(settings, student, digest).source.adapter is not None
    with pytest.raises(StudentError, match="not the one that was stored"):
        student_source(settings, student, "0" * 64)
    write_manifest(student, "adapter", BaseUsed(name="tiny", sha256="0" * 64, licence="apache-2.0", context=256))
    with pytest.raises(StudentError, match="have changed since the student was made"):
        student_source(settings, student)
    write_manifest(student, "adapter", find_base(settings, "tiny").used)
    (student / "adapter" / "added.json").write_text("{}")
    with pytest.raises(StudentError, match="not named by the student's manifest"):
        student_source(settings, student)
    (student / "adapter" / "added.json").unlink()
    (student / "adapter" / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 800}')
    with pytest.raises(StudentError, match="its hash differs"):
        student_source(settings, student)
    (student / "adapter" / "adapter_config.json").unlink()
    with pytest.raises(StudentError, match="is missing"):
        student_source(settings, student)
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "models" / "tiny", whole / "model")
    write_manifest(whole, "full")
    assert student_source(settings, whole).source.adapter is None
    (whole / "manifest.json").write_text('{"kind": "classifier"}')
    with pytest.raises(StudentError, match="no generative student"):
        student_source(settings, whole)


def test_a_modelfile_puts_the_template_around_the_prompt(tmp_path: Path) -> None:
    source = source_of(make_model(tmp_path / "tiny"))
    chat = source.chat_template
    assert chat is not None
    text = modelfile(tmp_path / "x.gguf", chat, context=64, max_answer_tokens=32)
    assert text.splitlines()[:3] == [
        "FROM ./x.gguf",
        'TEMPLATE """<|user|>{{ .Prompt }}<|end|><|assistant|>{{ .Response }}"""',
        'PARAMETER stop "<|end|>"',
    ]
    assert "PARAMETER num_ctx 64" in text and "PARAMETER temperature 0" in text
