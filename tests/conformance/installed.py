"""Installs the clients that live outside our own environment: Node's, and LiteLLM. Once per lock file."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
NODE = HERE / "node"
LITELLM = HERE / "litellm_client"


def node_folder() -> Path:
    """The folder of Node's clients, its packages installed as its lock file says.

    Raises:
        AssertionError: Node or npm is not installed: Debian's `nodejs` and `npm`, which `make test` installs.
    """
    for command in ("node", "npm"):
        assert shutil.which(command), f"The suite drives Node's clients: install {command} (Debian: nodejs, npm)."
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    _once(NODE / "package-lock.json", NODE / "node_modules", install)
    return NODE


def litellm_path() -> Path:
    """A folder with LiteLLM and the older `openai` it needs, to be put in front of Python's path."""
    packages, wanted = LITELLM / ".packages", LITELLM / "requirements.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _once(wanted, packages, [*pip, "--no-compile", "--target", str(packages), "--requirement", str(wanted)])
    return packages


def _once(lock_file: Path, folder: Path, command: Sequence[str]) -> None:
    """Run `command`, which fills `folder`, unless it was run for the lock file as it is now."""
    wanted = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    with (lock_file.parent / ".installing").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        mark = folder / ".installed-from"
        if mark.is_file() and mark.read_text() == wanted:
            return
        shutil.rmtree(folder, ignore_errors=True)
        done = subprocess.run(command, cwd=lock_file.parent, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)} failed: {done.stdout}{done.stderr}"
        mark.write_text(wanted)
