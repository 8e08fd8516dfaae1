"""The optional embedder (`pip install 'freehold[embed]'`): any local sentence-transformers folder.

A router that was fitted with one looks at the embedding beside hashed words. It is told the hash of the folder's files
and serves with no others, and it costs what the embedder costs per request: `freehold doctor` measures it.

A folder is data: nothing is downloaded, no code that lies in it is run, and weights are read from safetensors alone.
sentence-transformers 5 runs code of any local folder whose `modules.json` names it, trusted or not, and reads pickles
where it finds no safetensors; so what the folder asks for is checked before it is loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import StudentError

_MODULES = ("Transformer", "StaticEmbedding", "Pooling", "Dense", "LayerNorm", "Normalize")
"""Modules of sentence-transformers that a folder may be made of."""
_READ = (".json", ".safetensors", ".txt", ".model")
"""Files that an embedding can depend on."""
_GIVE_ANOTHER = "Set `[candidates] embedder` to the absolute path of a local sentence-transformers folder."
_FIRST = "A first text, so that no request waits for what is done only once."


class _Module(msgspec.Struct):
    type: str
    path: str = ""


class SentenceEmbedder:
    """A sentence-transformers model from a local folder, on one thread of the CPU."""

    def __init__(self, folder: Path) -> None:
        """Load it: a second or two, and seconds more where sentence-transformers is not imported yet.

        Raises:
            StudentError: the extra is not installed, the folder is not a model, or it is more than data.
        """
        folder = folder.resolve()  # a relative one could be taken for the name of a model on a hub
        self.sha256 = _checked(folder)
        """Of the folder's files."""
        try:
            torch, transformers = import_module("torch"), import_module("transformers")
            library = import_module("sentence_transformers")
        except ImportError as error:
            raise StudentError(
                f"The embedder needs sentence-transformers, which cannot be imported: {error}.",
                "Run `pip install 'freehold[embed]'`.",
            ) from error
        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(1)  # on a busy machine threads that wait for each other cost more than they bring
        try:
            self._model: Any = library.SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            ).float()
            self.dimensions = len(self.embed(_FIRST))
        except Exception as error:
            told = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            raise StudentError(f"{folder} cannot be loaded: {told}.", _GIVE_ANOTHER) from error

    def embed(self, text: str) -> NDArray[np.float32]:
        """The embedding of one text, (dimensions,): of unit length, or 0 where the model knows no word of it.

        Raises: StudentError, if it is not finite.
        """
        return self.embed_all([text])[0]

    def embed_all(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same of n ≥ 1 texts, (n, dimensions): in batches, which is quicker and differs by rounding alone."""
        # Half of a surrogate pair is no text to a tokenizer.
        whole = [text.encode(errors="replace").decode() for text in texts]
        found = np.asarray(self._model.encode(whole, show_progress_bar=False), np.float32)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if not np.isfinite(lengths).all():
            raise StudentError("The embedder gives what is not finite.", _GIVE_ANOTHER)
        return found / np.maximum(lengths, 1e-12)


def load_embedder(folder: Path) -> SentenceEmbedder:
    """The embedder in `folder`: loaded once in a process, and again if its files have changed.

    Raises: StudentError, as `SentenceEmbedder` does.
    """
    return _loaded(folder.resolve(), _checked(folder))


def embedder_for(folder: str, manifest: Mapping[str, Any]) -> SentenceEmbedder | None:
    """The embedder that a stored router was fitted with, from the folder that is set; None if it was without.

    Raises:
        StudentError: it cannot be loaded, none is set (`folder` is empty), or it is another.
    """
    wanted = manifest.get("prompts", {})
    if not wanted.get("embedded"):
        return None
    hint = "Set `[candidates] embedder` to the folder it was fitted with, or let the loop fit it again."
    if not folder:
        raise StudentError("The router was fitted with an embedder, and none is set.", hint)
    found = load_embedder(Path(folder))
    if found.sha256 != wanted.get("embedder"):
        raise StudentError(f"The files in {folder} are not those of the embedder the router was fitted with.", hint)
    return found


@lru_cache(maxsize=1)
def _loaded(folder: Path, sha256: str) -> SentenceEmbedder:
    """`sha256`: so that changed files are loaded anew."""
    return SentenceEmbedder(folder)


def _checked(folder: Path) -> str:
    """The hash of the folder's files.

    Raises: StudentError, if the folder cannot be read, or if loading it would run code or read a pickle.
    """
    try:
        modules = msgspec.json.decode((folder / "modules.json").read_bytes(), type=list[_Module])
        for module in modules:
            _check(folder, module)
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.rglob("*") if path.suffix in _READ and path.is_file()):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
            digest.update(path.relative_to(folder).as_posix().encode())
    except (OSError, msgspec.MsgspecError) as error:
        raise StudentError(f"{folder} is no sentence-transformers folder: {error}.", _GIVE_ANOTHER) from error
    return digest.hexdigest()


def _check(folder: Path, module: _Module) -> None:
    package, _, name = module.type.rpartition(".")
    if package.partition(".")[0] != "sentence_transformers" or name not in _MODULES:
        raise StudentError(
            f"{folder} wants {module.type}: code that comes with a model is not run.",
            f"Give a model made of {', '.join(_MODULES)} alone.",
        )
    part = folder / module.path
    if (part / "pytorch_model.bin").exists() and not (part / "model.safetensors").exists():
        raise StudentError(
            f"{part} holds its weights in pytorch_model.bin, a pickle, which is not loaded.",
            "Save the model with `safe_serialization=True`, and set `[candidates] embedder` to where it lies.",
        )
    if (part / "adapter_config.json").exists():
        raise StudentError(f"{part} is an adapter on another model.", "Merge the two, and save them as one.")
