"""Markdown tables of what `run.sh` printed: python bench/route/table.py results.jsonl"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Ours first, then what others would have done on the same splits, then tasks never seen."""
    results = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines() if line.strip()]
    for risk in ("traffic", "served"):
        chosen = [one for one in results if one["risk"] == risk and one["shift"] == "none"]
        print(f"\n### Risk: {risk}\n\n{ours(chosen)}\n\n{others(chosen)}")
    print(f"\n### Tasks never seen\n\n{unseen([one for one in results if one['shift'] != 'none'])}")


def ours(results: list[dict[str, Any]]) -> str:
    """Saving against the best possible, violations, ranking, speed."""
    lines = [
        "| file, signal | saving | best possible | ratio | violations (allowed) | beyond noise | served | APGR | cpt50 "
        "| cpt80 | decision ms p50, p95 | fit CPU s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        ratio = one["saving"] / one["best_possible_saving"] if one["best_possible_saving"] else float("nan")
        lines.append(
            f"| {name(one)} | **{one['saving']:.3f}** | {one['best_possible_saving']:.3f} | **{ratio:.2f}** "
            f"| {one['violations']:.1%} ({one['violations_allowed']:.1%}) | {one['violations_beyond_noise']:.1%} "
            f"| {one['served_share']:.2f} "
            f"| {number(one['apgr'])} | {number(one['cpt50'])} | {number(one['cpt80'])} "
            f"| {number(one['decision_ms_p50'])}, {number(one['decision_ms_p95'])} | {one['fit_cpu_seconds']} |"
        )
    return "\n".join(lines)


def others(results: list[dict[str, Any]]) -> str:
    """Baselines with the threshold that looked right: saving, violations, ranking."""
    names = list(results[0]["baselines"]) if results else []
    head = " | ".join(f"{baseline}: saving, violations, APGR" for baseline in names)
    lines = [f"| file | gain over a random mix, claimed | {head} |", "|---" * (2 + len(names)) + "|"]
    for one in results:
        cells = [
            f"{found['saving']:.3f}, {found['violations']:.0%}, {number(found['apgr'])}"
            for found in one["baselines"].values()
        ]
        claimed = f"{one['gain_over_random']:+.3f}, {'yes' if one['claims_gain'] else 'no'}"
        lines.append(f"| {name(one)} | {claimed} | {' | '.join(cells)} |")
    return "\n".join(lines)


def unseen(results: list[dict[str, Any]]) -> str:
    """Violations on a task that is not in the evidence: with the gate, with its words alone, and without."""
    lines = [
        "| file, risk | violations, gate on | saving | … words alone: violations | saving | … gate off: violations |",
        "|---|---|---|---|---|---|",
    ]
    for one in results:
        words, off = one["gate"]["text_only"], one["gate"]["off"]
        lines.append(
            f"| {name(one)}, {one['risk']} | {one['violations']:.1%} | {one['saving']:.3f} | {words['violations']:.1%} "
            f"| {words['saving']:.3f} | {off['violations']:.1%} |"
        )
    return "\n".join(lines)


def name(one: dict[str, Any]) -> str:
    """The file, and how it was routed."""
    return f"{Path(one['file']).stem}, {one['signal']}"


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
