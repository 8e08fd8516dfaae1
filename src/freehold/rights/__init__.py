"""Licences, terms, lineage and facts of the organisation in, ruling out. Pure; the tables are data files.

Unknown means deny. Not legal advice.

Public names: `rule`, `judge_training`, `TrainingJudge`, `verdict_of`, `licences`, `Licence`, `Clause`, `terms_of_url`,
`terms_of_upstream`, `terms_of_upstreams`, `dated`, `undated`, `OWN`, `detect`, `detect_text`, `Detected`.
"""

from freehold.rights.clauses import (
    Clause,
    Licence,
    dated,
    licences,
    terms_of_upstream,
    terms_of_upstreams,
    terms_of_url,
    undated,
)
from freehold.rights.detection import Detected, detect, detect_text
from freehold.rights.engine import OWN, rule
from freehold.rights.judge import TrainingJudge, judge_training, verdict_of

__all__ = [
    "OWN",
    "Clause",
    "Detected",
    "Licence",
    "TrainingJudge",
    "dated",
    "detect",
    "detect_text",
    "judge_training",
    "licences",
    "rule",
    "terms_of_upstream",
    "terms_of_upstreams",
    "terms_of_url",
    "undated",
    "verdict_of",
]
