"""`freehold audits`: what audits say of every certificate in force, how often they are made and what they cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import config_option, console, echo_json, json_option, open_store, settings_at, table

if TYPE_CHECKING:
    from freehold.loop.audit_budget import InForce


@click.command("audits")
@config_option
@json_option
def audits_command(config: str | None, as_json: bool) -> None:
    """Show the loss that audits measure for each certificate in force, and what they cost today (UTC)."""
    from freehold.loop.audit_budget import in_force
    from freehold.monitor import spending

    _, settings = settings_at(config)
    store = open_store(settings)
    spent = spending(store, time.time_ns())
    rows = [_row(item) for item in in_force(store, spent)]
    cap = settings.loop.audit_dollars_per_day
    total = sum(item.dollars_today for item in spent.values())
    if as_json:
        echo_json({"dollars_today": total, "dollars_per_day": cap, "tasks": rows})
        return
    if not rows:
        click.echo("No certificate is in force: nothing is audited. `freehold plan` says what each task still needs.")
        return
    made = table("Audits", "task", "certificate", "loss", "ε", "audits", "rate", "today", "alarm",
                 right=("loss", "ε", "audits", "rate", "today"))  # fmt: skip
    for row in rows:
        made.add_row(
            row["name"],
            row["certificate"][:15],
            f"{row['lower']:.2%} – {row['upper']:.2%}" if row["audits"] else f"≤ {row['certified_upper']:.2%}",
            f"{row['epsilon']:.2%}",
            f"{row['audits']:,}",
            f"{row['rate']:.2%}",
            f"${row['dollars_today']:.2f}",
            row["alarm"] or "none",
        )
    console().print(made)
    of = "no cap" if cap is None else f"of ${cap:.2f} a day"
    click.echo(f"Spent on audits today, UTC, by all tasks: ${total:.2f} ({of}).")


def _row(item: InForce) -> dict[str, Any]:
    certificate, monitor, spent = item.certificate, item.monitor, item.spent
    return {
        "task": item.task.task_id,
        "name": item.task.name,
        "certificate": certificate.certificate_id,
        "loss": certificate.loss,
        "risk": certificate.risk,
        "certified_upper": certificate.loss_upper,
        "lower": monitor.lower if monitor else None,
        "upper": monitor.upper if monitor else None,
        "estimate": monitor.estimate if monitor else None,
        "epsilon": certificate.epsilon,
        "audits": monitor.audits if monitor else 0,
        "missing": monitor.missing if monitor else 0,
        "pending": monitor.pending if monitor else 0,
        "weighted": monitor.weighted if monitor else False,
        "rate": item.policy.audit_rate,
        "audits_today": spent.audits_today,
        "dollars_today": spent.dollars_today,
        "dollars_per_audit": spent.dollars_per_audit,
        "unpriced_today": spent.unpriced_today,
        "alarm": item.alarm,
    }
