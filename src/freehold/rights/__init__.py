"""Terms and purpose in, verdict out. Pure; the tables are data files. Unknown means deny. Not legal advice.

Public names: `judge_training`, `terms_table`, `terms_of_url`.
"""

from freehold.rights.judge import judge_training
from freehold.rights.terms import Terms, terms_of_url, terms_table

__all__ = ["Terms", "judge_training", "terms_of_url", "terms_table"]
