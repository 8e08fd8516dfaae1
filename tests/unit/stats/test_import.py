"""`import freehold.stats` is cheap, and what it names is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import freehold.stats


def test_importing_loads_no_numbers() -> None:
    code = "import sys, freehold.stats; print([m for m in ('numpy', 'scipy', 'msgspec') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert all(getattr(freehold.stats, name) is not None for name in freehold.stats.__all__)
    with pytest.raises(AttributeError):
        freehold.stats.nothing  # noqa: B018
