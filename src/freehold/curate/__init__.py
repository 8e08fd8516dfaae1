"""Traces in, tasks and datasets out.

Public names: `discover`, `look_at_form`, `Seen`, `build_dataset`, `recognise_form`, `find_templates`.
"""

from freehold.curate.dataset import build_dataset
from freehold.curate.discover import Seen, discover, look_at_form
from freehold.curate.forms import recognise_form
from freehold.curate.templates import find_templates

__all__ = ["Seen", "build_dataset", "discover", "find_templates", "look_at_form", "recognise_form"]
