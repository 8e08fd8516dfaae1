"""The model part of a release: a student's own files as they are, and what is told of the weights in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from freehold.domain.errors import StudentError
from freehold.domain.evidence import Student
from freehold.release.inventory import MODEL_MANIFEST, MODEL_TENSORS, BaseModel, Item, Tensor, Weights
from freehold.release.layout import Content, Copied
from freehold.release.parts import Part, item, told
from freehold.serving.bases.files import CONFIG, TOKENIZER, HashCache, folder_sha256, pickles_in, safe_files
from freehold.serving.bases.places import base_folder
from freehold.serving.bases.weights import tensors_in
from freehold.serving.chat_template import CONFIG_FILE, TEMPLATE_FILE, read_chat_template
from freehold.serving.folder import ADAPTER, MODEL, BaseUsed, GenerativeManifest
from freehold.store.artifacts import MANIFEST, TENSORS, sha256_of
from freehold.upstreams.student.classifier import Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROOM = "model/"
_ARCHITECTURE = (
    "Per field of the answer, two linear models over n-grams (words; characters), each the mean of five that were "
    "fitted to four fifths of the rows; then a logistic regression over the shape of their scores, which gives the "
    "signal."
)
_PARAMETERS = frozenset(("idf", "weights", "bias", "log_counts", "second"))
"""A classifier's tensors that answers are computed from; `vocabulary` names the columns, and others are notes of the
training."""
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "U8": "uint8"}
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_CERTIFIED = "The certificate names its hash."


def classifier_part(
    student: Student, folder: Path, manifest: dict[str, Any], tensors: Mapping[str, NDArray[Any]], licence: str
) -> tuple[Weights, Part]:
    """A classifier's files: `manifest` and `tensors` were read from `folder`, their hashes checked."""
    heads = msgspec.convert(manifest, Manifest).heads
    shapes = [Tensor(name, str(tensor.dtype), tensor.shape) for name, tensor in sorted(tensors.items())]
    weights = Weights(
        kind="classifier",
        architecture=_ARCHITECTURE,
        sha256=student.sha256,
        parameters=sum(int(np.prod(tensor.shape)) for tensor in shapes if tensor.name in _PARAMETERS),
        tensors=tuple(shapes),
        fields=tuple("/".join(head.path) for head in heads),
        labels=sum(len(head.values) for head in heads),
    )
    items = (
        item(MODEL_TENSORS, "weights", "verified", licence, "model/manifest.json names its hash."),
        item(MODEL_MANIFEST, "model-manifest", "verified", licence, f"{_CERTIFIED} Labels, style."),
        item(MODEL_TENSORS, "tokenizer", "verified", licence, "Texts are cut into the n-grams of `vocabulary`."),
        told("chat-template", "None: it reads the text of the request."),
        told("base-model", "None: it was trained from nothing."),
        told("checkpoint", "No weights of single folds; what the stages hand on is in the tensors `checkpoint_*`."),
    )
    return weights, Part(_files(student, folder, manifest), items)


def generative_part(
    student: Student, folder: Path, manifest: dict[str, Any], data: Path, licence: str
) -> tuple[Weights, Part]:
    """A generative student's files; none is loaded, since weights may be larger than memory.

    Args:
        student: its record.
        folder: its own.
        manifest: read from there, its hash checked.
        data: the data folder, which knows where base models lie.
        licence: under which it is given.

    Raises:
        StudentError: the base model of an adapter is not there any more, or has changed; or a file is none that a
            language model has.
    """
    known, files = msgspec.convert(manifest, GenerativeManifest), _named(folder, manifest)
    base, base_at = _base(known, data)
    own = folder / (MODEL if known.weights == "full" else ADAPTER)
    tensors = tensors_in([folder / name for name in sorted(files) if name.endswith(".safetensors") and "/" in name])
    whole = own if known.weights == "full" else base_at
    template = read_chat_template(whole) if whole is not None else None
    weights = Weights(
        kind="generative",
        architecture=_architecture(known, own, base_at),
        sha256=student.sha256,
        parameters=sum(tensor.numbers for tensor in tensors.values()),
        tensors=tuple(
            Tensor(name, _DTYPES.get(tensor.dtype, tensor.dtype.lower()), tensor.shape)
            for name, tensor in sorted(tensors.items())
        ),
        base=base,
        tokenizer_sha256=_tokenizer(files, base),
        template_sha256=sha256_of(template.text.encode()) if template is not None else "",
        adapter=known.weights == "adapter",
        context=known.context,
    )
    items = (*_weight_items(files, licence), *_text_items(known, files, licence), _base_item(known), _CHECKPOINT)
    return weights, Part(_files(student, folder, manifest), items)


_CHECKPOINT = told(
    "checkpoint", "No weights of the steps between: training begins again from the recipe, the seed and the rows."
)


def _files(student: Student, folder: Path, manifest: Mapping[str, Any]) -> dict[str, Content]:
    """All that the manifest names, and itself: copied, and hashed as it is copied."""
    named = {f"{_ROOM}{name}": Copied(folder / name, digest) for name, digest in sorted(manifest["files"].items())}
    return {MODEL_MANIFEST: Copied(folder / MANIFEST, student.sha256), **named}


def _named(folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Name → SHA-256 of the files that the manifest names."""
    files: dict[str, str] = manifest["files"]
    pickles = [name for room in (MODEL, ADAPTER) if (folder / room).is_dir() for name in pickles_in(folder / room)]
    if pickles:
        raise StudentError(
            f"{folder} holds pickles ({', '.join(pickles)}), which may run code: they are never given out.",
            "Train the student again; nothing that Freehold trains holds any.",
        )
    return files


def _weight_items(files: Mapping[str, str], licence: str) -> list[Item]:
    note = "model/manifest.json names its hash."
    weights = [name for name in files if name.endswith(".safetensors") and "/" in name]
    others = [name for name in files if name not in (*weights, TENSORS) and not _of_text(name)]
    return [
        *(item(_ROOM + name, "weights", "verified", licence, note) for name in weights),
        item(MODEL_MANIFEST, "model-manifest", "verified", licence, f"{_CERTIFIED} Recipe, base, counts of tokens."),
        item(MODEL_TENSORS, "gate", "verified", licence, f"Words of the fit rows; answers to the tune rows. {note}"),
        *(item(_ROOM + name, "model-manifest", "verified", licence, f"Shape and settings. {note}") for name in others),
    ]


def _text_items(known: GenerativeManifest, files: Mapping[str, str], licence: str) -> list[Item]:
    """How text becomes tokens: of full weights files of the release, of an adapter the base's."""
    found = [name for name in files if _of_text(name)]
    if not any(Path(name).name == TOKENIZER for name in found):
        name = known.base.name if known.base is not None else "nobody"
        return [told(role, f"That of the base model, {public_name(name)}.") for role in ("tokenizer", "chat-template")]
    items = [
        item(_ROOM + name, "tokenizer", "verified", licence, "model/manifest.json names its hash.") for name in found
    ]
    template = [name for name in found if Path(name).name == TEMPLATE_FILE]
    where = template or [name for name in found if Path(name).name == CONFIG_FILE]
    note = "The whole file." if template else "Its field `chat_template`."
    return [*items, *(item(_ROOM + name, "chat-template", "verified", licence, note) for name in where)]


def _of_text(name: str) -> bool:
    """Whether a file says how text becomes tokens."""
    return "/" in name and (
        Path(name).name.startswith(("tokenizer", "chat_template"))
        or Path(name).name in ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt")
    )


def _base_item(known: GenerativeManifest) -> Item:
    if known.base is None:
        return told("base-model", "None: it was trained from random weights.")
    named = f"{public_name(known.base.name)}, {known.base.licence}, SHA-256 {known.base.sha256}"
    how = "its weights are needed to answer" if known.weights == "adapter" else "its weights were trained on"
    return told("base-model", f"{named}: {how}, and are not in the release.")


def public_name(name: str) -> str:
    """A base model's name as others may know it: not the path at which it lies here."""
    return Path(name).name if Path(name).is_absolute() else name


def _base(known: GenerativeManifest, data: Path) -> tuple[BaseModel | None, Path | None]:
    """What is told of the base, and where it lies; full weights are released without it, an adapter is not."""
    if known.base is None:
        return None, None
    try:
        where, files = checked_base(base_folder(data, known.base), known.base)
    except StudentError:
        if known.weights == "adapter":
            raise
        where, files = None, dict[str, str]()
    name = public_name(known.base.name)
    source = f"https://huggingface.co/{name}" if _HUB_NAME.fullmatch(name) else "a folder of whoever trained it"
    told_of = BaseModel(name=name, source=source, revision=known.base.sha256, licence=known.base.licence, files=files)
    return told_of, where


def checked_base(folder: Path, used: BaseUsed) -> tuple[Path, dict[str, str]]:
    """The folder of a base, every file of it hashed now, and the hashes by name.

    Raises:
        StudentError: it is not the one that the student was trained from.
    """
    cache = HashCache(None)
    hashes = {name: cache.sha256(path, fresh=True) for name, path in safe_files(folder).items()}
    if folder_sha256(hashes) != used.sha256:
        raise StudentError(
            f"The base model {used.name} in {folder} is not the one that the student was trained from: its files have "
            "changed.",
            f"Put the files of {used.name} back (SHA-256 {used.sha256[:16]}…), or train the student again.",
        )
    return folder, hashes


def _tokenizer(files: Mapping[str, str], base: BaseModel | None) -> str:
    own = files.get(f"{MODEL}/{TOKENIZER}", "")
    return own or (base.files.get(TOKENIZER, "") if base is not None else "")


class _Shape(msgspec.Struct):
    """Of a config.json or adapter_config.json, what a sentence tells."""

    architectures: tuple[str, ...] = ()
    hidden_size: int = 0
    num_hidden_layers: int = 0
    num_attention_heads: int = 0
    vocab_size: int = 0
    r: int = 0
    target_modules: str | list[str] | None = None


def _architecture(known: GenerativeManifest, own: Path, base: Path | None) -> str:
    """In a sentence."""
    if known.weights == "full":
        return f"{_decoder(own)}: full weights of {known.parameters:,} numbers; it answers in {known.context} tokens."
    adapter = _shape(own / "adapter_config.json")
    targets = adapter.target_modules or "some layers"
    on = targets if isinstance(targets, str) else ", ".join(sorted(targets))
    name = public_name(known.base.name) if known.base is not None else "its base"
    whole = f"{name}, {_decoder(base)}" if base is not None else name
    return f"A LoRA adapter of rank {adapter.r} on {on}, for {whole}; {known.parameters:,} numbers answer together."


def _decoder(folder: Path) -> str:
    shape = _shape(folder / CONFIG)
    name = shape.architectures[0] if shape.architectures else "A language model"
    return (
        f"{name}, a transformer decoder of {shape.num_hidden_layers} layers, {shape.hidden_size} wide, with "
        f"{shape.num_attention_heads} heads and {shape.vocab_size:,} tokens"
    )


def _shape(path: Path) -> _Shape:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Shape)
    except (OSError, msgspec.DecodeError) as error:
        raise StudentError(f"{path} cannot be read: {error}.", "Put the student's folder back.") from error
