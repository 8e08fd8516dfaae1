"""A student and its dataset in; an outlook out, on one look a certificate, and ever after whether that holds.

Public names: `outlook`, `Outlook`, `begin_attempt`, `certify`, `issue`, `Attempt`, `conclude`, `verify_certificate`,
`Verification`, `self_disagreement`.
"""

from freehold.evaluate.certify import Attempt, begin_attempt, certify, issue
from freehold.evaluate.conclude import Conclusion, conclude
from freehold.evaluate.floor import Floor, self_disagreement
from freehold.evaluate.outlook import Outlook, outlook
from freehold.evaluate.verify import Verification, verify_certificate

__all__ = [
    "Attempt",
    "Conclusion",
    "Floor",
    "Outlook",
    "Verification",
    "begin_attempt",
    "certify",
    "conclude",
    "issue",
    "outlook",
    "self_disagreement",
    "verify_certificate",
]
