"""What a certificate says, in sentences for people. Pure."""

from __future__ import annotations

from freehold.domain.evidence import Certificate, LossName

_LOSS: dict[LossName, str] = {
    "disagreement": "the share of answers that differ from the incumbent's",
    "harm": "the mean loss in score against the incumbent's answer (gains not counted)",
    "signed": "the mean loss in score against the incumbent's answer (gains offset losses)",
}


def statement(certificate: Certificate) -> str:
    """The claim, in one sentence."""
    names = " and ".join(rung.name for rung in certificate.rungs)
    several = len(certificate.rungs) > 1
    where = (
        f"among the requests that {names} {'answer' if several else 'answers'}"
        if certificate.risk == "served"
        else f"over all requests of the task, with {names} answering some and the incumbent the rest"
    )
    return (
        f"With confidence {_percent(1 - certificate.delta_spent)}, {_LOSS[certificate.loss]} is at most "
        f"{_percent(certificate.epsilon)} {where}."
    )


def finding(certificate: Certificate) -> str:
    """What was seen on the certify rows, in one sentence."""
    of = certificate.accepted if certificate.risk == "served" else certificate.certify_rows
    if certificate.loss == "disagreement":
        return f"{certificate.loss_sum:.0f} of {of} answers on the certify rows differ from the incumbent's."
    return f"A loss of {certificate.loss_sum:.4g} in all on {of} certify rows: {_percent(certificate.loss_estimate)}."


def _percent(share: float) -> str:
    return f"{share:.2%}"
