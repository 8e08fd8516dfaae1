"""A gateway worker stays small: what it imports of the store loads no data-frame, learning or crypto library."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("polars", "deltalake", "numpy", "scipy", "sklearn", "safetensors", "genai_prices", "cryptography")
CODE = f"""
import sys
import freehold.store, freehold.record
from pathlib import Path
store = freehold.store.Store.open(Path(sys.argv[1]), "sqlite:///" + sys.argv[1] + "/c.sqlite")
from freehold.domain.traces import Trace
journal = store.open_journal()
assert freehold.record.Recorder(journal).record(Trace(trace_id="tr_00000001", at_ns=1))
journal.close()
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def test_recording_and_control_load_nothing_heavy(tmp_path: object) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
