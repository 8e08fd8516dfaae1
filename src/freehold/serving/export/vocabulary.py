"""A byte-level BPE tokenizer as GGUF says it.

llama.cpp does not read how a tokenizer splits texts before it merges bytes; it knows some ways by name
(`tokenizer.ggml.pre`), and a wrong name gives other tokens without an error. So the name is looked up by the splitting
itself, and a tokenizer that splits in no known way is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from freehold.domain.errors import StudentError
from freehold.serving.chat_template import special_tokens

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""GGUF's types of tokens."""
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_PATTERNS = {_QWEN: "qwen2", _LLAMA3: "llama-bpe"}
"""Regular expression of a `Split` → llama.cpp's name for it."""
_IDS = ("bos", "eos", "unk", "pad")


T = TypeVar("T")


class _Model(msgspec.Struct, frozen=True):
    type: str = ""
    vocab: Any = None
    """Token → id, of a BPE."""
    merges: list[str | tuple[str, str]] | None = None
    byte_fallback: bool | None = None
    ignore_merges: bool | None = None


class _Added(msgspec.Struct, frozen=True):
    id: int
    content: str
    special: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False


class _Pattern(msgspec.Struct, frozen=True):
    regex: str = msgspec.field(name="Regex", default="")


class _Splitting(msgspec.Struct, frozen=True):
    """A pre-tokenizer."""

    type: str = ""
    pretokenizers: list[_Splitting] = []
    add_prefix_space: bool = False
    use_regex: bool = True
    individual_digits: bool = False
    pattern: _Pattern = _Pattern()
    behavior: str = ""
    invert: bool = False


class _Named(msgspec.Struct, frozen=True):
    id: str = ""


class _Piece(msgspec.Struct, frozen=True):
    special: _Named = msgspec.field(name="SpecialToken", default=_Named())


class _Processor(msgspec.Struct, frozen=True):
    type: str = ""
    processors: list[_Processor] = []
    single: list[_Piece] = []


class _Core(msgspec.Struct, frozen=True):
    """What is read of a tokenizer.json."""

    model: _Model
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: _Splitting | None = None
    post_processor: _Processor | None = None
    added_tokens: list[_Added] = []


class Vocabulary(NamedTuple):
    """What GGUF's `tokenizer.ggml.*` keys hold."""

    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    ids: dict[str, int]
    """`bos`, `eos`, `unk`, `pad`: those there are."""
    add_bos: bool


def vocabulary_of(files: Mapping[str, Path], size: int) -> Vocabulary:
    """The vocabulary among a model's files.

    Args:
        files: `tokenizer.json` and what lies beside it.
        size: rows of the embedding; those without a token are named so that nothing gives them.

    Raises:
        StudentError: it is no byte-level BPE, splits texts in a way that llama.cpp does not know, or has tokens that
            the embedding has no rows for.
    """
    if "tokenizer.json" not in files:
        raise StudentError("The model has no tokenizer.json.", "Save its fast tokenizer beside it.")
    core = _read(files["tokenizer.json"], _Core)
    config = files.get("tokenizer_config.json")
    settings = _read(config, dict[str, Any]) if config is not None else {}
    if core.model.type != "BPE" or core.model.byte_fallback:
        raise _unknown(f"it is {core.model.type}{' over characters' if core.model.byte_fallback else ''}")
    pre = _pre(core)
    tokens, types = _tokens(core, size)
    places = {token: at for at, token in enumerate(tokens)}
    named = special_tokens(settings)
    return Vocabulary(
        pre=pre,
        tokens=tokens,
        types=types,
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in core.model.merges or []],
        ids={which: places[named[f"{which}_token"]] for which in _IDS if named.get(f"{which}_token") in places},
        add_bos=bool(settings.get("add_bos_token")) or _first(core.post_processor) == named.get("bos_token", ""),
    )


def _pre(core: _Core) -> str:
    """llama.cpp's name for how texts are split."""
    kind = core.normalizer.get("type") if core.normalizer else None
    if kind not in (None, "NFC"):
        raise _unknown(f"it rewrites texts first ({kind})")
    whole = core.pre_tokenizer or _Splitting()
    *before, last = whole.pretokenizers or [whole]
    if last.type != "ByteLevel" or last.add_prefix_space:
        raise _unknown("it does not work on bytes")
    name = _name(before, last.use_regex)
    if not name:
        raise _unknown("it splits texts in a way of its own")
    if kind == "NFC" and name != "qwen2":  # known to be so there, and left out by llama.cpp itself
        raise _unknown("it normalises texts first (NFC)")
    if bool(core.model.ignore_merges) != (name == "llama-bpe"):
        raise _unknown("it takes whole words before it merges, or should and does not")
    return name


def _name(before: Sequence[_Splitting], regex: bool) -> str:
    """The name of splitting by these before bytes, and by GPT-2's expression (`regex`) or not; empty: it has none."""
    if not before:
        return "gpt-2" if regex else ""
    first = before[0]
    if len(before) > 1:
        return ""
    if first.type == "Digits":
        return "smollm" if first.individual_digits and regex else ""
    if first.type == "Split" and not regex and first.behavior == "Isolated" and not first.invert:
        return _PATTERNS.get(first.pattern.regex, "")
    return ""


def _tokens(core: _Core, size: int) -> tuple[list[str], list[int]]:
    try:
        given = msgspec.convert(core.model.vocab, dict[str, int])
    except msgspec.ValidationError as error:
        raise _unknown("its vocabulary is no table of tokens") from error
    tokens, types = [f"[PAD{at}]" for at in range(size)], [UNUSED] * size
    highest = max([*given.values(), *(token.id for token in core.added_tokens)], default=0)
    if highest >= size:
        raise StudentError(
            f"The tokenizer has a token {highest}, and the model's embedding {size} rows: they are not of one model.",
            "Take the tokenizer that the model was trained with.",
        )
    for token, at in given.items():
        tokens[at], types[at] = token, NORMAL
    for one in core.added_tokens:
        if one.lstrip or one.rstrip or one.single_word:
            raise _unknown(f"its token {one.content!r} looks at what stands beside it")
        tokens[one.id], types[one.id] = one.content, CONTROL if one.special else USER_DEFINED
    return tokens, types


def _first(processor: _Processor | None) -> str | None:
    """The special token that a post-processor puts before every text."""
    if processor is None:
        return None
    for part in processor.processors or [processor]:
        if part.type == "TemplateProcessing" and part.single:
            return part.single[0].special.id or None
    return None


def _unknown(why: str) -> StudentError:
    return StudentError(
        f"llama.cpp has no tokenizer like this model's: {why}.",
        "Serve it with `freehold student serve` or vLLM, which read tokenizer.json itself.",
    )


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, OSError, RecursionError) as error:
        raise StudentError(f"{path} cannot be read: {error}.", "Copy the model's folder again.") from error
