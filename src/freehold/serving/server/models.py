"""Which models a server has, and where they come from."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from freehold.domain.errors import Forbidden, ModelNotFound, NotFound, RequestError, StudentError
from freehold.serving.bases.files import HashCache, folder_sha256, safe_files
from freehold.serving.engine import Engine, load_engine
from freehold.serving.engine.adapters import Adapter
from freehold.serving.folder import ADAPTER, GenerativeManifest
from freehold.serving.server.worker import Worker


class Served(NamedTuple):
    """A model that can be asked now. A request keeps what it began with, whatever the name stands for later."""

    name: str
    engine: Engine
    adapter: Adapter | None = None
    context: int | None = None
    max_tokens: int | None = None
    """Of an answer, where the caller says nothing; None: what the context leaves."""
    parent: str | None = None
    """The model that an adapter is for."""


class ModelSource(Protocol):
    """What a server asks for its models. Thread-safe."""

    def ready(self, name: str) -> Served | None:
        """The model if it is loaded; at once."""
        ...

    def get(self, name: str) -> Served:
        """The model, loaded if need be; may take a while.

        Raises:
            ModelNotFound: there is none of this name.
            StudentError: its files are missing, changed, or do not fit.
        """
        ...

    def listed(self) -> list[Served]:
        """The models that are loaded."""
        ...

    def failures(self) -> dict[str, str]:
        """Models that should be served and cannot: name → why."""
        ...

    def refresh(self) -> None:
        """Look whether other models should be ready now; called twice a second."""
        ...

    def load_adapter(self, name: str, path: str, *, replace: bool) -> None:
        """Serve an adapter under a name from now on.

        Raises:
            Forbidden: this source does not take adapters from callers.
            RequestError: there is one of this name, and it shall not be replaced.
            StudentError: its files are missing or do not fit the base.
        """
        ...

    def unload_adapter(self, name: str) -> None:
        """Serve it no more; requests that run end on it.

        Raises:
            Forbidden: this source does not take adapters from callers.
            NotFound: there is none of this name.
        """
        ...


class FolderModels:
    """A model's folder, and adapters for it: those named at the start, and those that callers load."""

    def __init__(
        self,
        worker: Worker,
        folder: Path,
        *,
        name: str = "",
        adapters: Mapping[str, Path] | None = None,
        adapter_root: Path | None = None,
        slots: int = 32,
        context: int | None = None,
        threads: int = 1,
    ) -> None:
        """Load them.

        Args:
            worker: computes.
            folder: a Hugging Face folder, or a student's with `model/`.
            name: that callers use; empty: the folder's.
            adapters: by name, each a folder in peft's form, or a student's with `adapter/`.
            adapter_root: callers may load adapters from below this folder; None: they may not.
            slots: requests side by side.
            context: tokens of prompt and answer together; None: as many as the model was made for.
            threads: of arithmetic.

        Raises:
            StudentError: files are missing, or do not fit together.
        """
        self._folder = folder
        self._root = None if adapter_root is None else adapter_root.resolve()
        self._engine = load_engine(folder, slots=slots, context=context, threads=threads)
        self._sha256: str | None = None
        base = Served(name or folder.name, self._engine)
        self._base = base.name
        self._served = {base.name: base}
        self._lock = threading.Lock()
        for adapter, path in (adapters or {}).items():
            self._put(adapter, path)
        worker.add(self._engine)

    def ready(self, name: str) -> Served | None:
        """See `ModelSource`."""
        return self._served.get(name)

    def get(self, name: str) -> Served:
        """See `ModelSource`."""
        served = self._served.get(name)
        if served is None:
            raise not_served(name)
        return served

    def listed(self) -> list[Served]:
        """See `ModelSource`."""
        return list(self._served.values())

    def failures(self) -> dict[str, str]:
        """See `ModelSource`: what could not be loaded was said at the start."""
        return {}

    def refresh(self) -> None:
        """See `ModelSource`: nothing changes here by itself."""

    def load_adapter(self, name: str, path: str, *, replace: bool) -> None:
        """See `ModelSource`."""
        if self._root is None:
            raise Forbidden("Adapters are not loaded by request.", "Start the server with --adapter-root FOLDER.")
        folder = (self._root / path).resolve()
        if not folder.is_relative_to(self._root):
            raise Forbidden(f"{path} is not below the folder that adapters may come from.", "Put the adapter there.")
        with self._lock:
            if name in self._served and (not replace or name == self._base):
                raise RequestError(f"There is a model {name} already.", "Unload it, or send load_inplace: true.")
            self._put(name, folder)

    def unload_adapter(self, name: str) -> None:
        """See `ModelSource`."""
        if self._root is None:
            raise Forbidden("Adapters are not unloaded by request.", "Start the server with --adapter-root FOLDER.")
        with self._lock:
            if name == self._base or name not in self._served:
                raise NotFound(f"There is no adapter {name}.", "GET /v1/models lists what is there.")
            del self._served[name]

    def _put(self, name: str, folder: Path) -> None:
        manifest = _manifest_of(folder)
        if manifest is not None and manifest.base is not None:
            if self._sha256 is None:
                self._sha256 = base_sha256(self._folder)
            if manifest.base.sha256 != self._sha256:
                raise other_base(name, manifest.base.name)
        where = folder / ADAPTER if (folder / ADAPTER).is_dir() else folder
        adapter = self._engine.load_adapter(name, where)
        bounds = (None, None) if manifest is None else (manifest.context, manifest.max_answer_tokens)
        self._served = {**self._served, name: Served(name, self._engine, adapter, *bounds, parent=self._base)}


def base_sha256(folder: Path) -> str:
    """`BaseUsed.sha256` of what is in a base's folder now: every byte is hashed.

    Raises:
        StudentError: a file cannot be read, or it is no base model's folder.
    """
    hashes = HashCache(None)
    return folder_sha256({name: hashes.sha256(path, fresh=True) for name, path in safe_files(folder).items()})


def not_served(name: str) -> ModelNotFound:
    """What callers get who ask for a model that is not there."""
    return ModelNotFound(f"There is no model {name!r} here.", "GET /v1/models lists what is there.")


def other_base(name: str, base: str) -> StudentError:
    """What is said of an adapter whose base is not the one at hand."""
    return StudentError(
        f"{name} was trained on {base} as it was then; the base at hand is another, or was changed since.",
        "Put the base's files back, or train the student again.",
    )


def _manifest_of(folder: Path) -> GenerativeManifest | None:
    """The manifest of a student's folder, or of the one that an adapter's folder lies in; None: it is in none."""
    for path in (folder / "manifest.json", folder.parent / "manifest.json"):
        with contextlib.suppress(OSError, msgspec.DecodeError, msgspec.ValidationError):
            return msgspec.json.decode(path.read_bytes(), type=GenerativeManifest)
    return None
