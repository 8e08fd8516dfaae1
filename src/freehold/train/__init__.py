"""A dataset in, a student out.

Public names: `train_student`.
"""

from freehold.train.students import train_student

__all__ = ["train_student"]
