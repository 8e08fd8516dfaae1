"""Who has answered a task since a certificate came into force."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from freehold.store.traces.read import read_traces

if TYPE_CHECKING:
    from freehold.domain.evidence import Certificate
    from freehold.store import Store

INCUMBENT = ""


def answered_by(store: Store, certificate: Certificate) -> dict[str, int]:
    """Rung → requests it has answered since the certificate was issued, sealed ones; `INCUMBENT` → all others.
    Those of exit drills are left out.

    A rung is named as in the certificate: `UPSTREAM/MODEL`, or a student's id.

    Raises:
        StoreError: the traces cannot be read.
    """
    traces = read_traces(
        store,
        task=certificate.task,
        kinds=("request",),
        since_ns=certificate.issued_ns,
        columns=("answered_by", "certificate", "status", "reason"),
    ).filter((pl.col("status") == 200) & (pl.col("reason") != "drill"))
    ours = pl.col("certificate") == certificate.certificate_id
    name = pl.when(ours).then(pl.col("answered_by").str.strip_prefix("student/")).otherwise(pl.lit(INCUMBENT))
    counted = dict(traces.group_by(name.alias("name")).len().iter_rows())
    return {rung: counted.get(rung, 0) for rung in (*(rung.name for rung in certificate.rungs), INCUMBENT)}
