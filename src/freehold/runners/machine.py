"""This machine, what is installed on it, and the code that runs: what training again to the same bytes depends on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import freehold
from freehold.domain.machines import Machine, TrainingRun
from freehold.domain.rights import Kind

TRAINING_CODE: tuple[str, ...] = (
    "train/",
    "upstreams/student/",
    "domain/answers.py",
    "domain/evidence.py",
    "store/artifacts.py",
)
"""Of the package: what can change what the training of a classical student gives."""
GENERATIVE_CODE: tuple[str, ...] = (
    "train/generative/",
    "train/recipes/",
    "train/counts.py",
    "serving/",
    "upstreams/student/features.py",
    "domain/answers.py",
    "domain/evidence.py",
    "store/artifacts.py",
)
"""The same of a generative one."""
CODE_OF: dict[Kind, tuple[str, ...]] = {"classifier": TRAINING_CODE, "generative": GENERATIVE_CODE}
_GENERATIVE_PACKAGES = ("torch", "transformers", "tokenizers", "peft", "trl")
_FLAGS = re.compile(r"sse4_[12]|avx\w*|fma|f16c|bmi[12]|amx\w*|neon|asimd\w*|sve\w*")
_CPU_INFO = Path("/proc/cpuinfo")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class RunRecorder:
    """Records one run of training: make it when the run begins."""

    def __init__(self, code: tuple[str, ...] = TRAINING_CODE) -> None:
        """`code`: the parts of the package that the result depends on."""
        self._code = code
        self._began = time.perf_counter()
        self._cpu_began = time.process_time()

    def finish(self, environment: Mapping[str, str] | None = None, cpu_seconds_elsewhere: float = 0.0) -> TrainingRun:
        """What there is to say of the run, now that it is over.

        Args:
            environment: what the trainer says that the bytes depend on.
            cpu_seconds_elsewhere: of processes that this one started.
        """
        seconds, cpu_seconds = time.perf_counter() - self._began, time.process_time() - self._cpu_began
        return TrainingRun(
            software=f"freehold {freehold.__version__}",
            code=code_hashes(self._code),
            packages=installed_packages(() if self._code == TRAINING_CODE else _GENERATIVE_PACKAGES),
            machine=this_machine(),
            seconds=seconds,
            cpu_seconds=cpu_seconds + cpu_seconds_elsewhere,
            environment=dict(environment or {}),
        )


def this_machine() -> Machine:
    """This machine; of libraries for arithmetic, those that are loaded by now."""
    cpu, flags = _processor()
    affinity = getattr(os, "sched_getaffinity", None)
    return Machine(
        architecture=platform.machine(),
        cpu=cpu,
        flags=flags,
        cores=len(affinity(0)) if affinity is not None else os.cpu_count() or 0,
        system=f"{platform.system()} {platform.release()}",
        libc=" ".join(filter(None, platform.libc_ver())),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        arithmetic=_arithmetic(),
    )


def answering_environment() -> dict[str, str]:
    """What the answers of a language model depend on beside its weights; torch is loaded, since it knows best."""
    torch: Any = import_module("torch")
    numpy: Any = import_module("numpy")
    return {
        "torch": str(torch.__version__),
        "numpy": str(numpy.__version__),
        "architecture": platform.machine(),
        "ATEN_CPU_CAPABILITY": str(torch.backends.cpu.get_cpu_capability()),
        "flags": " ".join(_processor()[1]),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


@cache
def installed_packages(more: tuple[str, ...] = ()) -> dict[str, str]:
    """Distribution → version of the package, of `more`, and of all that these need without extras, as far as it is
    installed."""
    found: dict[str, str] = {}
    waiting = ["freehold", *more]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # wanted on another system or Python only
        found[name] = distribution.version
        wanted = (line for line in distribution.requires or () if "extra ==" not in line)
        waiting += [match[0] for line in wanted if (match := _NAME.match(line))]
    return dict(sorted(found.items()))


def code_files(parts: Iterable[str] = ("",)) -> dict[str, bytes]:
    """Path in the package → content of its files: of those whose path begins with one of `parts`, in order of path."""
    root = Path(freehold.__file__).parent
    wanted = tuple(parts)
    paths = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    named = {path.relative_to(root).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in sorted(named.items()) if name.startswith(wanted)}


def code_hashes(parts: Iterable[str] = ("",)) -> dict[str, str]:
    """Path in the package → SHA-256, as `code_files`."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in code_files(parts).items()}


def code_digest(hashes: Mapping[str, str]) -> str:
    """SHA-256 over the lines `SHA256  PATH` (two spaces, a line feed after each) in order of path."""
    lines = (f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _processor() -> tuple[str, tuple[str, ...]]:
    """Model and instruction sets, as Linux tells them of the first processor."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor(), ()
    told = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    model = next((value for name, value in told if name == "model name"), platform.processor())
    flags = next((value for name, value in told if name in ("flags", "Features")), "")
    return model, tuple(sorted(flag for flag in flags.split() if _FLAGS.fullmatch(flag)))


def _arithmetic() -> tuple[str, ...]:
    from threadpoolctl import threadpool_info

    told = cast("list[dict[str, str | None]]", threadpool_info())
    named = [(entry["internal_api"], entry.get("version"), entry.get("architecture")) for entry in told]
    return tuple(sorted({" ".join(filter(None, names)) for names in named}))
