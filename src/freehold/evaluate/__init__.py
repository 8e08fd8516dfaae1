"""A student and its dataset in; out, an outlook of what would be certified, and on one look a certificate.

Public names: `outlook`, `Outlook`, `begin_attempt`, `certify`, `Attempt`, `self_disagreement`.
"""

from freehold.evaluate.certify import Attempt, begin_attempt, certify
from freehold.evaluate.floor import Floor, self_disagreement
from freehold.evaluate.outlook import Outlook, outlook

__all__ = ["Attempt", "Floor", "Outlook", "begin_attempt", "certify", "outlook", "self_disagreement"]
