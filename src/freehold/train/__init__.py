"""A dataset in, a student out.

Public names: `train_student`; to do it, or a part of it, again: `fit_student`, `has_checkpoint`,
`replay_fold`, `replay_second_stage`.
"""

from freehold.train.replay import has_checkpoint, replay_fold, replay_second_stage
from freehold.train.students import FittedStudent, fit_student, train_student

__all__ = ["FittedStudent", "fit_student", "has_checkpoint", "replay_fold", "replay_second_stage", "train_student"]
