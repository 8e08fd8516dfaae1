"""How much energy a run has taken: what the machine measures where it lets itself be read, else an estimate."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_POWERCAP = Path("/sys/class/powercap")
_QUERY = ("--query-gpu=power.draw", "--format=csv,noheader,nounits")
_SECONDS_BETWEEN_LOOKS = 5.0
JOULES_PER_KILOWATT_HOUR = 3.6e6


class Meter:
    """Joules since it was made. RAPL counters count the whole package, whoever used it; else `watts_per_core` times the
    CPU seconds of this run stands in. A GPU's power is looked at now and then."""

    def __init__(self, watts_per_core: float, gpus: tuple[int, ...] = (), powercap: Path = _POWERCAP) -> None:
        self._watts = watts_per_core
        self._counters = dict(_counters(powercap))
        self._gpus = gpus if gpus and shutil.which("nvidia-smi") else ()
        self._gpu_joules = 0.0
        self._looked = time.monotonic()
        self._draw = 0.0

    def joules(self, cpu_seconds: float) -> float:
        """`cpu_seconds`: of all workers since the meter was made."""
        self._look_at_gpus()
        return (self._measured() if self._counters else cpu_seconds * self._watts) + self._gpu_joules

    def _measured(self) -> float:
        total = 0
        for path, before in self._counters.items():
            now = _number(path)
            if now is not None:
                total += now - before if now >= before else now - before + (_range_of(path) or 0)
        return total / 1e6

    def _look_at_gpus(self) -> None:
        passed = time.monotonic() - self._looked
        if not self._gpus or passed < _SECONDS_BETWEEN_LOOKS:
            return
        command = ["nvidia-smi", f"--id={','.join(map(str, self._gpus))}", *_QUERY]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
            self._draw = sum(float(line) for line in told.split())
        except (OSError, subprocess.SubprocessError, ValueError):
            pass  # the last known draw stands
        self._gpu_joules += self._draw * passed
        self._looked += passed


def _counters(powercap: Path) -> Iterator[tuple[Path, int]]:
    """Packages only: their parts (`intel-rapl:0:0`) are counted in them."""
    for path in sorted(powercap.glob("intel-rapl:*/energy_uj")):
        if path.parent.name.count(":") == 1:
            value = _number(path)
            if value is not None:
                yield path, value


def _range_of(path: Path) -> int | None:
    return _number(path.with_name("max_energy_range_uj"))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
