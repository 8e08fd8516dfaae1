"""The Grafana dashboard shows metrics that exist, by labels that they have; and none is forgotten."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freehold.gateway.telemetry.families import FAMILIES, PREFIX, exposed_names

DASHBOARD = Path(__file__).parents[3] / "examples" / "grafana" / "freehold.json"
OF_PROMQL = {"by", "sum", "max", "rate", "increase", "time", "histogram_quantile", "le"}


def expressions() -> Iterator[str]:
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in document["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (variable["query"] for variable in document["templating"]["list"] if variable["type"] == "query")


def family_of(name: str) -> str:
    bare = name.removeprefix(PREFIX)
    return next(found for found in (bare, *(bare.removesuffix(f"_{end}") for end in ENDS)) if found in FAMILIES)


ENDS = ("total", "bucket", "sum", "count")


def test_every_name_exists_and_every_metric_is_shown() -> None:
    names = {name for expression in expressions() for name in re.findall(rf"{PREFIX}\w+", expression)}
    assert names <= exposed_names()
    assert {family_of(name) for name in names} == set(FAMILIES)


def test_every_label_is_one_that_its_metrics_have() -> None:
    for expression in expressions():
        families = [FAMILIES[family_of(name)] for name in re.findall(rf"{PREFIX}\w+", expression)]
        known = {label for family in families for label in family.labels} | OF_PROMQL
        if any(family.kind == "gauge" for family in families):
            known.add("worker")
        text = re.sub(rf'{PREFIX}\w+|"[^"]*"|\$?\$__\w+|\[\w*\]|label_values', " ", expression)
        assert set(re.findall(r"[a-z_]+[a-z]", text)) <= known, expression
        assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")


def test_counters_are_looked_at_as_rates_and_panels_do_not_overlap() -> None:
    for expression in expressions():
        for counter in re.findall(rf"(\w+)\(({PREFIX}\w+_(?:total|bucket|sum|count))", expression):
            assert counter[0] in ("rate", "increase", "label_values"), expression
    taken: set[tuple[int, int]] = set()
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
