"""Model folders: several texts, cards, configurations and headers that agree or do not, and hostile ones."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from freehold.domain.errors import NotFound
from freehold.rights import clauses
from freehold.rights.detection import Detected, detect
from freehold.rights.detection import files as bounds

TEXTS = Path(clauses.__file__).parent / "texts"
MIT = (TEXTS / "mit.txt").read_text()
APACHE = (TEXTS / "apache-2.0.txt").read_text()
LLAMA = "LLAMA 3.2 COMMUNITY LICENSE AGREEMENT\nLlama 3.2 Version Release Date: September 25, 2024\n"


def card(*lines: str) -> str:
    return "\n".join(["---", *lines, "---", "# A model", "license: apache-2.0"])


def look(folder: Path, contents: dict[str, str | bytes]) -> Detected:
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return detect(folder)


def safetensors(metadata: dict[str, str]) -> bytes:
    header = json.dumps(
        {"__metadata__": metadata, "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


def gguf(pairs: dict[str, Any]) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    body = b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs))
    for key, value in pairs.items():
        body += text(key)
        if isinstance(value, str):
            body += struct.pack("<I", 8) + text(value)
        elif isinstance(value, list):
            body += struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(item) for item in value)
        else:
            body += struct.pack("<II", 4, value)
    return body


def test_a_folder_without_anything_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        detect(tmp_path / "nowhere")
    assert (detect(tmp_path).licence, detect(tmp_path).how) == (None, "unknown")


@pytest.mark.parametrize(
    ("contents", "licence", "how"),
    [
        ({"LICENSE": MIT}, "mit", "exact"),
        ({"LICENSE": MIT, "README.md": card("license: mit"), "config.json": '{"license": "MIT"}'}, "mit", "exact"),
        ({"LICENSE": MIT, "sub/LICENSE.txt": MIT}, "mit", "exact"),
        ({"LICENSE": MIT, "model.safetensors": b"version https://git-lfs.github.com/spec/v1"}, "mit", "exact"),
        ({"License.md": APACHE, "NOTICE": "Somebody made this."}, "apache-2.0", "exact"),
        ({"sub/deeper/COPYING": APACHE}, "apache-2.0", "exact"),
        ({"README.md": card("license: llama3.1")}, "llama-3.1", "metadata"),
        ({"README.md": card("license: 'apache-2.0' # so it is", "tags:", "- other")}, "apache-2.0", "metadata"),
        ({"README.md": card("license:", "- mit")}, "mit", "metadata"),
        ({"a.gguf": gguf({"general.license": "apache-2.0"})}, "apache-2.0", "metadata"),
        ({"a.safetensors": safetensors({"license": "mit"})}, "mit", "metadata"),
    ],
)
def test_what_is_certain(tmp_path: Path, contents: dict[str, str | bytes], licence: str, how: str) -> None:
    found = look(tmp_path / "m", contents)
    assert (found.licence, found.how, found.conflicts) == (licence, how, ())


@pytest.mark.parametrize(
    "contents",
    [
        {"LICENSE": MIT, "LICENSE-MODEL": LLAMA},
        {"LICENSE": MIT, "LICENSE-CODE": APACHE},
        {"LICENSE": MIT, "original/LICENSE": LLAMA},
        {"LICENSE": MIT, "third_party/LICENSE": "Somebody's own words on what may be done. " * 30},
        {"LICENSE": MIT, "Tongyi Qianwen LICENSE AGREEMENT.txt": "Words."},
        {"README.md": card("license: mit"), "Tongyi Qianwen LICENSE AGREEMENT.txt": "Words."},
        {"README.md": card("license: mit"), "LICENSE.pdf": b"%PDF-1.7\x00\x01"},
        {"LICENSE": APACHE, "ACCEPTABLE_USE_POLICY.md": "No weapons."},
        {"LICENSE": MIT, "README.md": card("license: llama3.1")},
        {"LICENSE": MIT, "README.md": card("license: gpl-3.0")},
        {"LICENSE": MIT, "README.md": card("license: other", "license_name: llama3")},
        {"LICENSE": MIT, "README.md": card("license: mit", "license_link: TERMS"), "TERMS": "More words."},
        {"LICENSE": MIT, "README.md": card("license: mit", "license_link: rules.txt"), "rules.txt": "More words."},
        {"LICENSE": MIT, "config.json": '{"license": ["mit", "cc-by-nc-4.0"]}'},
        {"LICENSE": MIT, "config.json": "{broken"},
        {"LICENSE": MIT, "README.md": b"---\nlicense: mit\n---\n\x00\x00"},
        {"LICENSE": MIT, "a.gguf": gguf({"general.license": "llama3.2"})},
        {"LICENSE": MIT, "a.safetensors": safetensors({"modelspec.license": "CreativeML Open RAIL-M"})},
        {"README.md": card("license: mit"), "config.json": '{"license": "apache-2.0"}'},
        {"README.md": card("license: mit", "license: llama3")},
        {"README.md": card("license:", "- mit", "- llama3")},
        {"README.md": card("license: [mit, llama3]")},
        {"README.md": card("license: mit", "  with restrictions")},
        {"README.md": card("license: !!str mit")},
        {"README.md": card("license: |", "  mit")},
        {"README.md": card("license: gemma")},
        {"README.md": card("license:", "license_name: mit")},
        {"README.md": card("license: other", "license_name: mit")},
        {"README.md": card("model: x", "card:", "  license: mit")},
        {"README.md": "---\nlicense: mit\nwithout an end\n"},
        {"README.md": "# A model\nlicense: mit\n"},
    ],
)
def test_what_is_not_certain_is_not_said(tmp_path: Path, contents: dict[str, str | bytes]) -> None:
    found = look(tmp_path / "m", contents)
    assert found.licence is None and found.how in ("near", "unknown")


def test_conflicts_are_told(tmp_path: Path) -> None:
    found = look(tmp_path / "a", {"LICENSE": MIT, "README.md": card("license: llama3.1")})
    assert found.declared == {"README.md": "llama3.1"}
    assert found.conflicts == ("README.md declares llama3.1, LICENSE is mit.",)
    found = look(tmp_path / "b", {"LICENSE": LLAMA, "README.md": card("license: llama3.1")})
    assert (found.nearest, found.how) == ("llama-3.2", "near") and found.differences
    assert found.conflicts == ("README.md declares llama3.1, LICENSE is nearest to llama-3.2.",)
    found = look(tmp_path / "c", {"LICENSE": MIT, "sub/LICENSE": APACHE})
    assert found.conflicts == ("The folder has the texts of several licences: apache-2.0, mit.",)
    found = look(tmp_path / "d", {"LICENSE": LLAMA, "README.md": card("license: other", "license_name: llama3.2")})
    assert found.declared == {"README.md": "other (llama3.2)"}


def test_rules_of_use_belong_to_licences_that_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    from freehold.rights.detection import texts

    monkeypatch.setattr(texts, "hashes", lambda: {hashlib.sha256(LLAMA.encode()).hexdigest(): "llama-3.2"})
    found = look(
        tmp_path / "m", {"LICENSE": LLAMA, "USE_POLICY.md": "No weapons.", "README.md": card("license: llama3.2")}
    )
    assert (found.licence, found.how) == ("llama-3.2", "exact")


def test_models_it_is_made_of(tmp_path: Path) -> None:
    contents: dict[str, str | bytes] = {
        "LICENSE": MIT,
        "adapter_config.json": '{"base_model_name_or_path": "some/base", "peft_type": "LORA"}',
        "README.md": card("license: mit", "base_model:", "- some/base", "- other/base"),
        "a.gguf": gguf(
            {
                "tokenizer.ggml.tokens": ["a"] * 5000,
                "general.quantization_version": 2,
                "general.base_model.0.name": "Third",
                "general.license": "mit",
            }
        ),
    }
    found = look(tmp_path / "m", contents)
    assert found.licence == "mit" and set(found.bases) == {"some/base", "other/base", "Third"}


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(MIT)
    for name in ("LICENSE", "README.md", "config.json"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).symlink_to(secret)
        found = detect(folder)
        assert found.licence is None and "a link that leads out of the folder" in str(found)
    loop = tmp_path / "loop"
    loop.mkdir()
    (loop / "LICENSE").symlink_to(loop / "LICENSE")
    (loop / "again").symlink_to(loop)
    os.mkfifo(loop / "COPYING")
    assert detect(loop).licence is None


def test_a_snapshot_in_the_cache_of_hugging_face(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--x--y" / "snapshots" / "0123", tmp_path / "models--x--y" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "abc").write_text(MIT)
    (snapshot / "LICENSE").symlink_to(Path("../../blobs/abc"))
    assert detect(snapshot).licence == "mit"


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = {"README.md": card("license: mit")}
    found = look(tmp_path / "huge", {**declared, "LICENSE": MIT + " " * 2_000_000})
    assert found.licence is None and "larger than" in found.differences[0]
    found = look(tmp_path / "deep", {**declared, "/".join("abcdefghi") + "/LICENSE": LLAMA})
    assert found.licence is None and "deep" in found.differences[0]
    monkeypatch.setattr(bounds, "MAX_ENTRIES", 20)
    found = look(tmp_path / "many", {**declared, **{f"f{at}": "" for at in range(30)}, "z/LICENSE": LLAMA})
    assert found.licence is None and "more than 20 files" in found.differences[0]


@pytest.mark.parametrize(
    "data",
    [
        b"GGUF",
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 8, 2**63),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 9, 2**40),
        b"GGUF" + struct.pack("<IQQ", 9, 0, 1),
        gguf({"general.license": "mit"})[:-1],
    ],
)
def test_headers_that_lie_say_nothing(tmp_path: Path, data: bytes) -> None:
    assert look(tmp_path / "m", {"a.gguf": data}).declared == {}
    lying = struct.pack("<Q", 2**60) + b"{}"
    assert look(tmp_path / "n", {"a.safetensors": lying, "b.safetensors": b"\x05" + bytes(7) + b"[" * 5}).declared == {}
