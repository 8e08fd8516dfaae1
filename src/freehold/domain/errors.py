"""The one error tree. A failure is classified where it happens and translated once, at an edge.

Every error says what happened and to what (`message`) and what to do next (`hint`). `code` is stable and machine
readable; `http_status` is what the gateway answers; `exit_code` is what the command line returns.
"""

from __future__ import annotations


class FreeholdError(Exception):
    """Root of the tree; catch it only at an edge (gateway, command line, job boundary)."""

    code = "internal_error"
    http_status = 500
    exit_code = 1
    retry_after: float | None = None
    """Seconds after which the same may be asked again; None: there is no telling."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(FreeholdError):
    """The configuration file, an environment variable or a flag cannot be used."""

    code = "config_error"
    exit_code = 2


class RequestError(FreeholdError):
    """The caller's request cannot be understood."""

    code = "invalid_request"
    http_status = 400
    exit_code = 2


class BodyTooLarge(RequestError):
    """The request body is over the configured limit."""

    code = "request_too_large"
    http_status = 413


class HeadTooLarge(RequestError):
    """The request's line and headers are over the limit."""

    code = "request_head_too_large"
    http_status = 431


class VersionNotSupported(RequestError):
    """The request is not HTTP/1.1 or 1.0."""

    code = "http_version_not_supported"
    http_status = 505


class AuthError(RequestError):
    """The API key is missing or wrong."""

    code = "invalid_api_key"
    http_status = 401


class Forbidden(RequestError):
    """The key is valid and does not allow this."""

    code = "forbidden"
    http_status = 403


class LimitReached(RequestError):
    """A key or its team has used up what it may use of the current window."""

    code = "rate_limit_exceeded"
    http_status = 429

    def __init__(self, message: str, hint: str = "", *, retry_after: int, budget: bool = False) -> None:
        """`retry_after`: seconds until the window ends; `budget`: it is dollars that are used up."""
        super().__init__(message, hint)
        self.retry_after = retry_after
        if budget:
            self.code = "budget_exceeded"


class ModelNotFound(RequestError):
    """No configured upstream serves the model that was asked for."""

    code = "model_not_found"
    http_status = 404


class TranslationError(RequestError):
    """The request asks for something that the upstream's protocol cannot say."""

    code = "not_translatable"


class NotFound(RequestError):
    """A named thing (trace, task, student, route) does not exist."""

    code = "not_found"
    http_status = 404
    exit_code = 3


class RowError(RequestError):
    """A row of what is imported cannot be used. The message names fields and never holds what is in them."""

    code = "row_not_usable"


class UpstreamError(FreeholdError):
    """An upstream did not answer as its protocol demands."""

    code = "upstream_error"
    http_status = 502


class UpstreamUnreachable(UpstreamError):
    """No connection could be made, or it was refused."""

    code = "upstream_unreachable"


class UpstreamAddressRefused(UpstreamUnreachable):
    """The upstream's name leads to an address that it may not have: a private one that is not configured as such."""

    code = "upstream_address_refused"


class UpstreamResting(UpstreamError):
    """The upstream has failed again and again and is left alone for a while."""

    code = "upstream_resting"
    http_status = 503

    def __init__(self, message: str, hint: str = "", *, retry_after: float = 1.0) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class UpstreamTimeout(UpstreamError):
    """The upstream did not connect, begin or continue its answer in time."""

    code = "upstream_timeout"
    http_status = 504


class UpstreamProtocolError(UpstreamError):
    """The upstream sent bytes that are not HTTP, or closed before its answer was complete."""

    code = "upstream_protocol_error"


class AnswerNotTranslatable(UpstreamError):
    """The upstream's answer holds something that the caller's protocol cannot say."""

    code = "answer_not_translatable"


class DrillError(FreeholdError):
    """An exit drill has cut the upstream, and nothing owned can answer."""

    code = "drill"
    http_status = 503


class StoreError(FreeholdError):
    """Stored data cannot be read or written."""

    code = "store_error"
    http_status = 503


class StoreFull(StoreError):
    """The disk (or quota) is full: recording is shed, traffic is not."""

    code = "store_full"


class JournalCorrupt(StoreError):
    """A journal segment holds bytes that are not a whole, intact frame before its end."""

    code = "journal_corrupt"


class JournalLocked(StoreError):
    """A journal segment is encrypted with a key that is not at hand; nothing of it is lost."""

    code = "journal_locked"


class Conflict(StoreError):
    """Somebody else changed the same thing first."""

    code = "conflict"
    http_status = 409
    exit_code = 4


class LeaseHeld(Conflict):
    """Another process already does this work (for example, a second loop on one data folder)."""

    code = "lease_held"


class TrainingError(FreeholdError):
    """Training cannot be begun or carried on: memory, disk, a loss that is no number, a base that does not fit."""

    code = "training_error"
    exit_code = 10


class StudentError(FreeholdError):
    """A student's files are missing, changed or not readable; its task goes to the incumbent."""

    code = "student_error"


class EvidenceError(FreeholdError):
    """There is not enough evidence, or not of the right kind: never a certificate."""

    code = "not_enough_evidence"
    exit_code = 5


class CertificateError(EvidenceError):
    """A certificate does not hold: it, or something it rests on, is not what was signed."""

    code = "certificate_does_not_hold"
    exit_code = 7


class SafetyError(EvidenceError):
    """A student has lost the incumbent's guards or gives away what it was trained on: it is not promoted."""

    code = "student_not_safe"


class ScorerError(FreeholdError):
    """A scorer cannot be carried out as it is set: its options, its database, its tests or its sandbox."""

    code = "scorer_error"
    exit_code = 8


class RightsError(FreeholdError):
    """Licence or terms do not allow this use, or are unknown, which counts the same."""

    code = "rights_denied"
    http_status = 403
    exit_code = 6


class RightsPending(RightsError):
    """Something must be done, or decided by counsel, before this use: it may go ahead afterwards."""

    code = "rights_pending"


class ReleaseError(FreeholdError):
    """A release's folder is not what was signed, or does not hold what it must."""

    code = "release_does_not_hold"
    exit_code = 9
