"""On what a student was trained, by what, and how long it took: what somebody needs who wants to train it again."""

from __future__ import annotations

import msgspec


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, as far as it can change the last bit of a figure. What cannot be found out is empty."""

    architecture: str
    """`x86_64`."""
    cpu: str
    """The model, as the system names it."""
    flags: tuple[str, ...]
    """The instruction sets that libraries for arithmetic choose between."""
    cores: int
    """That this process may use."""
    system: str
    """`Linux 6.1`."""
    libc: str
    python: str
    """`CPython 3.11.9`."""
    arithmetic: tuple[str, ...]
    """Libraries for linear algebra that were loaded: name, version, and the processor they were tuned for."""


class TrainingRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of training, recorded while it went on."""

    software: str
    """`freehold 0.1.0`."""
    code: dict[str, str]
    """Source file of the package → SHA-256: those that can change what training gives."""
    packages: dict[str, str]
    """Installed distribution → version: those that this package needs."""
    machine: Machine
    seconds: float
    cpu_seconds: float
    """Of all processes and threads that trained."""
    environment: dict[str, str] = {}
    """Of a generative student: what else its bytes depend on, as `freehold.train.generative` says it (precision,
    threads, workers, device, the instruction set that was computed with)."""
