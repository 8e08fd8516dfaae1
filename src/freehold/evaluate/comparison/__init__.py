"""Answers of two students and the incumbent to the same held-out samples in; who is better, where and how surely, out.

It gets answers and computes none. Comparisons that may choose a student rest on tune rows. Certify rows may be shown
only once a certificate rests on them, and choose nothing: what chose on them would have certified itself.

Public names: `Said`, `Row`, `rows_of`, `compare`, `worst`, `is_exact`,
`recorded_of`, `Recorded`.
"""

from freehold.evaluate.comparison.compare import compare
from freehold.evaluate.comparison.recorded import Recorded, recorded_of
from freehold.evaluate.comparison.rows import Row, Said, is_exact, rows_of
from freehold.evaluate.comparison.worst import worst

__all__ = ["Recorded", "Row", "Said", "compare", "is_exact", "recorded_of", "rows_of", "worst"]
