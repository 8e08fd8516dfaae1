"""Folders that are gone when their process is, however it ended."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

# The shell ends at once and leaves a process that nobody who ends ours with its children will find. It waits for the
# pipe's other end to close, which the system does even for a process that was killed.
_UNDERTAKER = 'exec 3<&0; (cat <&3 >/dev/null; rm -rf -- "$0") >/dev/null 2>&1 &'
_kept: list[subprocess.Popen[bytes]] = []
"""Their pipes stay open for as long as this process lives."""


def fleeting_folder(prefix: str) -> Path:
    """A new folder that only this user can read; it is removed soon after this process has ended.

    Raises:
        OSError: it cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    shell = subprocess.Popen(["sh", "-c", _UNDERTAKER, str(folder)], stdin=subprocess.PIPE, start_new_session=True)
    shell.wait()
    _kept.append(shell)
    return folder
