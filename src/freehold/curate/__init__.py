"""Traces in, tasks and datasets out.

Public names: `discover`, `look_at_form`, `Seen`, `build_dataset`, `recognise_form`, `find_templates`; of requests that
candidates were asked about `count_shadows`, `build_scored`, `ScoredSet`, `scorer_of`, `load_outcomes`.
Files with recorded outcomes are read by `freehold.curate.outcomes`, which loads numpy and more: it is imported by name.
"""

from freehold.curate.dataset import build_dataset
from freehold.curate.discover import Seen, discover, look_at_form
from freehold.curate.forms import recognise_form
from freehold.curate.outcome_store import load_outcomes
from freehold.curate.scored import ScoredSet, build_scored
from freehold.curate.scoring import scorer_of
from freehold.curate.shadows import count_shadows
from freehold.curate.templates import find_templates

__all__ = [
    "ScoredSet",
    "Seen",
    "build_dataset",
    "build_scored",
    "count_shadows",
    "discover",
    "find_templates",
    "load_outcomes",
    "look_at_form",
    "recognise_form",
    "scorer_of",
]
