"""The students of a data folder as a server's models: `student/ID`, as the control store knows them.

Those that the policy in force names are loaded before anybody asks for them; others when they are asked for, and those
longest unused make room again. Every file is hashed before it is used.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import structlog

from freehold.domain.errors import Forbidden, FreeholdError, StudentError
from freehold.serving.engine import Engine, load_engine
from freehold.serving.folder import ADAPTER, MODEL, BaseUsed, GenerativeManifest
from freehold.serving.gate import read_gate
from freehold.serving.server.models import Served, base_sha256, not_served, other_base
from freehold.serving.server.worker import Worker
from freehold.store.artifacts import check_files, read_student
from freehold.store.control.control import ControlStore

PREFIX = "student/"
BASE_CONTEXT = 4096
"""Tokens that a base with adapters is made ready for; each student's own bound holds for its requests."""
_AGAIN_SECONDS = 10.0
"""A student that could not be loaded is not tried again before."""
_log = structlog.get_logger(__name__)


class StudentModels:
    """See the module. Thread-safe."""

    def __init__(
        self,
        worker: Worker,
        data: Path,
        control: ControlStore,
        base_folder: Callable[[BaseUsed], Path],
        *,
        slots: int = 32,
        threads: int = 1,
        most: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is loaded yet: `refresh` does.

        Args:
            worker: computes.
            data: the data folder.
            control: says which students there are, and which are in force.
            base_folder: says where a base lies; raises StudentError where nobody knows.
            slots: requests side by side, for each model.
            threads: of arithmetic.
            most: students loaded beside those in force.
            clock: in seconds.
        """
        self._worker = worker
        self._data = data
        self._control = control
        self._base_folder = base_folder
        self._slots = slots
        self._threads = threads
        self._most = most
        self._clock = clock
        self._lock = threading.RLock()
        self._served: OrderedDict[str, Served] = OrderedDict()
        """By name, the one longest unused first."""
        self._bases: dict[str, Engine] = {}
        """By hash."""
        self._failed: dict[str, tuple[float, FreeholdError]] = {}
        self._in_force: frozenset[str] = frozenset()
        self._version = -1

    def ready(self, name: str) -> Served | None:
        """See `ModelSource`."""
        name = _full(name)
        served = self._served.get(name)
        if served is not None and self._lock.acquire(blocking=False):  # while one is loaded, the order may wait
            try:
                if name in self._served:
                    self._served.move_to_end(name)
            finally:
                self._lock.release()
        return served

    def get(self, name: str) -> Served:
        """See `ModelSource`."""
        name = _full(name)
        with self._lock:
            served = self._served.get(name)
            if served is None:
                failed = self._failed.get(name)
                if failed is not None and self._clock() - failed[0] < _AGAIN_SECONDS:
                    raise failed[1]
                served = self._load(name)
                self._served[name] = served
                self._make_room()
            return served

    def listed(self) -> list[Served]:
        """See `ModelSource`."""
        with self._lock:
            return list(self._served.values())

    def failures(self) -> dict[str, str]:
        """See `ModelSource`: of those in force."""
        return {name: failed[1].message for name, failed in list(self._failed.items()) if name in self._in_force}

    def refresh(self) -> None:
        """See `ModelSource`: follows the policy in force."""
        version = self._control.policy_version()
        if version != self._version:
            policy = self._control.current_policy()
            wanted = [PREFIX + student for task in policy.tasks.values() for student in task.students]
            self._in_force = frozenset(name for name in wanted if self._writes(name))
            self._version = version
        for name in sorted(self._in_force - self._served.keys()):
            try:
                self.get(name)
            except FreeholdError:
                continue  # it was said when it was tried; the others go on

    def load_adapter(self, name: str, path: str, *, replace: bool) -> None:
        """See `ModelSource`: never."""
        raise Forbidden("This server serves the students of a data folder.", "`freehold promote` puts one in force.")

    def unload_adapter(self, name: str) -> None:
        """See `ModelSource`: never."""
        raise Forbidden("This server serves the students of a data folder.", "`freehold rollback` takes one out.")

    def _writes(self, name: str) -> bool:
        record = self._control.students.get(name.removeprefix(PREFIX))
        return record is not None and record.kind == "generative"

    def _load(self, name: str) -> Served:
        record = self._control.students.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
        if record is None or record.kind != "generative":
            raise not_served(name)
        began = self._clock()
        try:
            folder = self._data / record.path
            manifest, tensors = read_student(folder, record.sha256)
            check_files(folder, manifest)
            served = self._open(name, folder, read_gate(manifest, tensors).manifest)
        except FreeholdError as error:
            self._failed[name] = (self._clock(), error)
            _log.warning("student_not_loaded", student=name, error=error.message, hint=error.hint)
            raise
        self._failed.pop(name, None)
        _log.info("student_loaded", student=name, seconds=round(self._clock() - began, 3))
        return served

    def _open(self, name: str, folder: Path, manifest: GenerativeManifest) -> Served:
        bounds = (manifest.context, manifest.max_answer_tokens)
        if manifest.weights == "full":
            engine = self._engine(folder / MODEL, manifest.context)
            return Served(name, engine, None, *bounds)
        if manifest.base is None:
            raise StudentError(f"The manifest of {name} names no base for its adapter.", "Train it again.")
        engine = self._bases.get(manifest.base.sha256)
        if engine is None:
            where = self._base_folder(manifest.base)
            if base_sha256(where) != manifest.base.sha256:
                raise other_base(name, manifest.base.name)
            engine = self._engine(where, max(BASE_CONTEXT, manifest.context))
            self._bases[manifest.base.sha256] = engine
        return Served(name, engine, engine.load_adapter(name, folder / ADAPTER), *bounds, parent=manifest.base.name)

    def _engine(self, folder: Path, context: int) -> Engine:
        engine = load_engine(folder, slots=self._slots, context=context, threads=self._threads)
        self._worker.add(engine)
        return engine

    def _make_room(self) -> None:
        """Let those go that are not in force and longest unused, and bases that nobody needs any more."""
        others = [name for name in self._served if name not in self._in_force]
        for name in others[: max(0, len(others) - self._most)]:
            gone = self._served.pop(name)
            if gone.adapter is None:
                self._worker.retire(gone.engine)
        used = {id(served.engine) for served in self._served.values()}
        for sha256, engine in list(self._bases.items()):
            if id(engine) not in used:
                del self._bases[sha256]
                self._worker.retire(engine)


def _full(name: str) -> str:
    """`student/ID` for an id, too: the gateway's upstream for students is called `student`, and its models are ids."""
    return name if name.startswith(PREFIX) else PREFIX + name
