"""Where base models lie that students of a data folder were trained from: found by what they hold, not by name."""

from __future__ import annotations

import json
from pathlib import Path

from freehold.domain.errors import StudentError
from freehold.serving.bases.files import write_json
from freehold.serving.folder import BaseUsed

_FOLDER = "bases"


def remember_base(data: Path, used: BaseUsed, folder: Path) -> None:
    """Note that the base of this hash lies in `folder`; the newest place counts.

    Raises:
        StoreError: it cannot be noted.
    """
    write_json(data / _FOLDER / f"{used.sha256}.json", {"name": used.name, "folder": str(folder.absolute())})


def base_folder(data: Path, used: BaseUsed) -> Path:
    """The folder of a base that students were trained from. Its files are hashed by who loads it.

    Raises:
        StudentError: nobody knows where it is, or it is gone.
    """
    hint = f"Put {used.name} back into a folder of [models], and run `freehold models`."
    try:
        folder = Path(json.loads((data / _FOLDER / f"{used.sha256}.json").read_text(encoding="utf-8"))["folder"])
    except (OSError, ValueError, KeyError) as error:
        raise StudentError(f"The base model {used.name} ({used.sha256[:12]}) is not known here.", hint) from error
    if not folder.is_dir():
        raise StudentError(f"The base model {used.name} is not in {folder} any more.", hint)
    return folder
