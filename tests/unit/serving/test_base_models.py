"""Base models: what is read off their folders, and everything that is refused before it is used."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("tokenizers")

from safetensors.numpy import load_file, save_file
from tiny_models import make_model

from freehold.config import ModelSettings, Settings
from freehold.domain.errors import ConfigError, RightsError, StudentError, TrainingError
from freehold.domain.rights import Organisation, OrganisationThen
from freehold.serving.bases import check_hashes, find_base, list_bases, require_chat_template, require_same
from freehold.serving.bases.weights import as_floats, tensors_in
from freehold.serving.folder import BaseUsed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("made") / "tiny")


@pytest.fixture
def settings(tmp_path: Path, made: Path) -> Settings:
    """A data folder, and a models folder with one model."""
    shutil.copytree(made, tmp_path / "models" / "tiny")
    return Settings(models=ModelSettings(folders=(str(tmp_path / "models"),)), data_dir=str(tmp_path / "data"))


def folder_of(settings: Settings) -> Path:
    return Path(settings.models.folders[0]) / "tiny"


def change(path: Path, **fields: Any) -> None:
    """Change fields of a JSON file; None removes one."""
    known = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({name: value for name, value in known.items() if value is not None}))


def test_a_base_is_found_and_described(settings: Settings) -> None:
    base = find_base(settings, "tiny")
    assert base.folder == folder_of(settings) and base.source == "folder" and base.architecture == "LlamaForCausalLM"
    numbers = sum(tensor.size for tensor in load_file(base.folder / "model.safetensors").values())
    assert (base.parameters, base.size, base.dtype) == (numbers, 4 * numbers, "float32")
    assert base.used == BaseUsed(name="tiny", sha256=base.used.sha256, licence="apache-2.0", context=256)
    assert base.rights.train.outcome == "allow" and base.rights.ship.outcome == "duties"
    assert base.memory.train_full > 16 * numbers and base.memory.serve > 4 * numbers
    assert "<|" in require_chat_template(base)
    assert find_base(settings, str(base.folder)).used == base.used, "by its path it is the same"


def test_the_hash_is_the_one_that_is_written_down_for_others(settings: Settings) -> None:
    import hashlib

    folder = folder_of(settings)
    names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    lines = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    assert find_base(settings, "tiny").used.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_hashes_are_remembered_by_size_and_time_and_checked_anew_when_asked(settings: Settings) -> None:
    base, weights = find_base(settings, "tiny"), folder_of(settings) / "model.safetensors"
    stat, data = weights.stat(), bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert find_base(settings, "tiny").used == base.used, "same size and time: it was not read again"
    assert check_hashes(settings, "tiny").changed == ("model.safetensors has changed",)


def test_changed_weights_are_told_and_used_only_once_accepted(settings: Settings) -> None:
    before = find_base(settings, "tiny")
    folder = folder_of(settings)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, folder / "model.safetensors")
    (folder / "generation_config.json").write_text("{}")
    with pytest.raises(StudentError, match=r"model\.safetensors has changed") as caught:
        find_base(settings, "tiny")
    assert "--accept" in caught.value.hint and "generation_config.json is new" in caught.value.message
    checked = check_hashes(settings, "tiny", accept=True)
    after = find_base(settings, "tiny")
    assert after.used.sha256 == checked.sha256 != before.used.sha256
    with pytest.raises(StudentError, match="have changed since the student was made"):
        require_same(after, before.used)
    require_same(before, before.used)
    with pytest.raises(StudentError, match="was made from other, not from tiny"):
        require_same(after, msgspec.structs.replace(before.used, name="other"))


def test_pickles_are_refused_and_never_opened(settings: Settings) -> None:
    folder = folder_of(settings)
    (folder / "pytorch_model.bin").mkdir()  # reading it would fail otherwise
    (folder / "pytorch_model.bin").rmdir()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    (folder / "pytorch_model.bin").chmod(0)
    assert find_base(settings, "tiny").beside == ("pytorch_model.bin",)
    (folder / "model.safetensors").unlink()
    with pytest.raises(StudentError, match=r"pickles only \(pytorch_model\.bin\)") as caught:
        find_base(settings, "tiny")
    assert "safetensors" in caught.value.hint
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(StudentError, match="no weights"):
        find_base(settings, "tiny")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}, "is a GPT2LMHeadModel"),
        ({"architectures": None, "model_type": "bert"}, "is a bert"),
        ({"auto_map": {"AutoModelForCausalLM": "modeling.Own"}}, "code of its own"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
    ],
)
def test_other_architectures_are_refused(settings: Settings, fields: dict[str, Any], said: str) -> None:
    change(folder_of(settings) / "config.json", **fields)
    with pytest.raises(TrainingError, match=said) as caught:
        find_base(settings, "tiny")
    assert caught.value.hint
    [listed] = list_bases(settings)
    assert said in listed.problem and listed.facts is None


def test_a_base_without_a_chat_template_is_refused_where_one_is_needed(settings: Settings) -> None:
    change(folder_of(settings) / "tokenizer_config.json", chat_template=None)
    base = find_base(settings, "tiny")
    with pytest.raises(TrainingError, match="no chat template"):
        require_chat_template(base)
    (base.folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    check_hashes(settings, "tiny", accept=True)
    assert require_chat_template(find_base(settings, "tiny")) == "{{ messages[0].content }}"


def test_links_out_of_the_folder_are_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    (folder_of(settings) / "merges.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(StudentError, match="leads out of the folder"):
        find_base(settings, "tiny")


@pytest.mark.parametrize(
    ("licence", "said"), [("", "Nobody knows the licence"), ("gemma", "declares"), ("cc-by-nc-4.0", "may not be")]
)
def test_what_rights_do_not_allow_is_refused(settings: Settings, licence: str, said: str) -> None:
    card = folder_of(settings) / "README.md"
    card.unlink()
    if licence:
        card.write_text(f"---\nlicense: {licence}\n---\n")
    with pytest.raises(RightsError, match=said) as caught:
        find_base(settings, "tiny")
    assert caught.value.hint
    known = msgspec.structs.replace(settings.models, licences={"tiny": "own"})
    told = msgspec.structs.replace(settings, models=known)
    if licence == "cc-by-nc-4.0":
        with pytest.raises(RightsError, match="says own"):
            find_base(told, "tiny")
    else:
        assert find_base(told, "tiny").used.licence == "own"


def test_bases_of_a_base_bind_it_and_facts_of_the_organisation_count(settings: Settings) -> None:
    card = folder_of(settings) / "README.md"
    card.write_text("---\nlicense: apache-2.0\nbase_model: somebody/else\n---\n")
    with pytest.raises(RightsError, match="somebody/else"):
        find_base(settings, "tiny")
    models = msgspec.structs.replace(settings.models, licences={"somebody/else": "mit"})
    assert find_base(msgspec.structs.replace(settings, models=models), "tiny").rights.permits
    card.write_text("---\nlicense: llama3.1\n---\n")
    day, no_more = "2024-07-23", OrganisationThen(monthly_users=1000)
    small = Organisation(monthly_users=1000, company_in="DE", serves_public=False, at={day: no_more})
    large = msgspec.structs.replace(small, at={day: OrganisationThen(monthly_users=800_000_000)})
    assert find_base(msgspec.structs.replace(settings, organisation=small), "tiny").rights.train.outcome == "duties"
    with pytest.raises(RightsError):
        find_base(msgspec.structs.replace(settings, organisation=large), "tiny")


@pytest.mark.parametrize("harm", ["cut", "index", "header", "shape", "no tokenizer", "no config"])
def test_damaged_folders_are_told(settings: Settings, harm: str) -> None:
    folder = folder_of(settings)
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    if harm == "cut":
        weights.write_bytes(data[:-10])
    elif harm == "header":
        weights.write_bytes(b"\xff" * 8 + data[8:])
    elif harm == "index":
        index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    elif harm == "shape":
        change(folder / "config.json", vocab_size=7)
    else:
        (folder / {"no tokenizer": "tokenizer.json", "no config": "config.json"}[harm]).unlink()
    with pytest.raises(StudentError) as caught:
        find_base(settings, "tiny")
    assert caught.value.hint


def test_bfloat16_is_read_exactly(tmp_path: Path) -> None:
    import struct

    numbers = np.array([1.0, -2.5, 3.140625, 65504.0], np.float32)
    halves = (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"x": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + halves)
    tensor = tensors_in([tmp_path / "x.safetensors"])["x"]
    expected = (numbers.view(np.uint32) >> 16 << 16).view(np.float32).reshape(2, 2)
    assert np.array_equal(as_floats(tensor), expected)


def test_hub_names_are_found_in_its_cache_and_nothing_else_is_fetched(
    settings: Settings, tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    models = msgspec.structs.replace(settings.models, hub=("org/some",))
    listed = msgspec.structs.replace(settings, models=models)
    with pytest.raises(ConfigError, match="was not fetched") as caught:
        find_base(listed, "org/some")
    assert caught.value.hint == "Fetch it: `freehold models fetch org/some`."
    cached = tmp_path / "hub" / "models--org--some"
    (cached / "blobs").mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc123")
    (cached / "snapshots" / "abc123").mkdir(parents=True)
    for path in made.iterdir():  # as huggingface_hub keeps it: links to blobs
        shutil.copy(path, cached / "blobs" / f"blob-{path.name}")
        (cached / "snapshots" / "abc123" / path.name).symlink_to(f"../../blobs/blob-{path.name}")
    base = find_base(listed, "org/some")
    assert base.source == "hub" and base.used.sha256 == find_base(settings, "tiny").used.sha256
    with pytest.raises(ConfigError, match="There is no base model"):
        find_base(settings, "org/some")
