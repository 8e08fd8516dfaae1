"""A generative student by what somebody calls it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from freehold.cli.common import open_store
from freehold.domain.errors import NotFound, StudentError

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.serving.export.student import StudentSource


class FoundStudent(NamedTuple):
    """A student whose files were checked."""

    name: str
    folder: Path
    found: StudentSource


def find_student(settings: Settings, wanted: str) -> FoundStudent:
    """A generative student by its id, its id's beginning, or its folder; every file of it is checked.

    Raises:
        NotFound: none is called so, or several.
        StudentError: it is a classifier, or its files are not what was stored.
        ConfigError, TrainingError, RightsError: of its base.
    """
    from freehold.serving.export.student import student_source
    from freehold.store.counsel import decisions

    folder = Path(wanted)
    if (folder / "manifest.json").is_file():
        return FoundStudent(folder.resolve().name, folder, student_source(settings, folder))
    store = open_store(settings)
    students = [one for one in store.control.students.list() if one.student_id.startswith(wanted)]
    if len(students) != 1:
        what = f"{len(students)} students' ids begin with" if students else "There is no student"
        raise NotFound(f"{what} {wanted!r}.", "`freehold tasks TASK` shows ids; or give the student's folder.")
    one = students[0]
    if one.kind != "generative":
        raise StudentError(
            f"{one.student_id} is a classifier, which no other program loads.",
            "Only language models are exported; classifiers are served in the gateway.",
        )
    counsel = decisions(store, one.task, one.student_id)
    folder = store.data / one.path
    return FoundStudent(one.student_id, folder, student_source(settings, folder, one.sha256, counsel))
