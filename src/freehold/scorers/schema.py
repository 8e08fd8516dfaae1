"""Whether an answer is JSON that a JSON Schema allows. The check itself runs in the worker: see `worker`."""

from __future__ import annotations

import re
from typing import Any, cast

from freehold.domain.errors import ScorerError
from freehold.domain.scoring import SchemaScorer, Score, scored
from freehold.scorers.base import NOT_JSON, Context, Unusable, parse_json, shown
from freehold.scorers.worker import call


def score_schema(scorer: SchemaScorer, answer: str, context: Context) -> Score:
    """1 if the answer is JSON and valid, else 0. References to other documents are never fetched.

    Raises:
        ScorerError: neither scorer nor request has a schema, or it is not one.
    """
    schema = scorer.schema if scorer.schema is not None else context.schema
    if schema is None:
        raise ScorerError("The schema scorer has no schema.", "Set one, or ask with a response_format that has one.")
    if parse_json(answer) is NOT_JSON:
        return scored(0.0, "The answer is not JSON.")
    result = call("schema", {"schema": schema, "answer": answer}, scorer.seconds)
    if result.get("unusable"):
        raise ScorerError(f"The JSON Schema cannot be used: {result['unusable']}", "Mend the schema.")
    if result.get("failed"):
        raise Unusable(str(result["failed"]))
    problem = str(result["problem"])
    return scored(0.0, problem) if problem else scored(1.0, "Valid by the schema.")


def validate(job: dict[str, Any]) -> dict[str, Any]:
    """In the worker: the first thing that is wrong with the answer, as `problem`; empty if nothing is."""
    import jsonschema
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable

    schema = job["schema"]
    foreign = _foreign_reference(schema)
    if foreign:
        return {"unusable": f"it refers to {shown(foreign)}, which is not in it."}
    kind: Any = validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
        problem = next(iter(kind(schema).iter_errors(parse_json(job["answer"]))), None)
    except jsonschema.SchemaError as error:
        return {"unusable": f"{shown(error.message)}."}
    except RecursionError:
        return {"failed": "The answer, or the schema, is nested too deeply to be checked."}
    except (Unresolvable, re.error) as error:
        return {"unusable": f"{shown(error)}."}
    if problem is None:
        return {"problem": ""}
    return {"problem": f"{problem.json_path}: {shown(problem.message)}."}


def _foreign_reference(schema: Any) -> str:
    """The first `$ref` that leaves the schema: fetching it would let a request make this machine call out."""
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(cast("list[Any]", node))
        elif isinstance(node, dict):
            node = cast("dict[str, Any]", node)
            for key in ("$ref", "$dynamicRef", "$recursiveRef"):
                target = node.get(key)
                if isinstance(target, str) and not target.startswith("#"):
                    return target
            waiting.extend(node.values())
    return ""
