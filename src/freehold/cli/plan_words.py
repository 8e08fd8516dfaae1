"""A plan in sentences, the same on a terminal and in a report."""

from __future__ import annotations

from freehold.domain.plans import Plan, TaskPlan

NO_TASK = "(no task)"
_FEW, _MUCH = 10, 3
"""A task is pointed out if it has this many prompts and loses more than this many times ε."""


def clean(text: str) -> str:
    """A name that came from outside, fit for a terminal: no control characters, no line breaks."""
    return "".join(character if character.isprintable() else "·" for character in text)


def headline(plan: Plan) -> str:
    """What moves and what it saves, in one line."""
    if not plan.certified:
        return "Nothing can move yet." if plan.needed else "Nothing can move."
    return (
        f"{plan.served_share:.0%} of requests can leave {clean(plan.incumbent)}, and {plan.saving:.0%} of the dollars "
        "with them."
    )


def answer(plan: Plan) -> str:
    """The whole answer in one paragraph."""
    if not plan.certified:
        return f"{_tried(plan)} {plan.reason.rstrip('.')}. {outlook(plan)}".strip()
    movers = " and ".join(clean(model) for model in plan.rungs[:-1])
    return (
        f"Of {plan.rows:,} prompts, {plan.parts.get('certify', 0):,} were kept for the test alone. On those, moving "
        f"{plan.served_share:.0%} of requests to {movers} saves {dollars(plan.dollars)} of the "
        f"{dollars(plan.incumbent_dollars)} that 1,000 requests to {clean(plan.incumbent)} cost. Certified: "
        f"{promise(plan)}, with confidence {confidence(plan)}; the estimate is {plan.loss_estimate or 0.0:.3f}, and "
        f"{plan.epsilon:g} was allowed."
    )


def promise(plan: Plan) -> str:
    """What is certified, without the confidence."""
    of = "all requests" if plan.risk == "traffic" else "the requests that move"
    upper = plan.loss_upper if plan.loss_upper is not None else plan.epsilon
    if upper < 0.0:
        return f"over {of}, the mean score is better than the incumbent's by at least {-upper:.3f}"
    return f"the mean loss over {of} is at most {upper:.3f} points of score"


def confidence(plan: Plan) -> str:
    """1 − δ, as a percentage."""
    return f"{100 * (1 - plan.delta):.4g}%"


def losers(plan: Plan) -> tuple[str, ...]:
    """The tasks that lose much more than the mean may, so that nobody overlooks them; none, or one sentence."""
    lost = [(task.incumbent_score - task.score, task) for task in plan.tasks if task.served and task.rows >= _FEW]
    worst = sorted((item for item in lost if item[0] > _MUCH * plan.epsilon), key=lambda item: -item[0])
    if not worst:
        return ()
    shown = "; ".join(
        f"{task_name(task)} {task.incumbent_score:.3f} → {task.score:.3f} ({task.rows} prompts)"
        for _, task in worst[:3]
    )
    more = f"; and {len(worst) - 3} more" if len(worst) > 3 else ""
    return (f"The bound is on the mean. Some tasks lose more than {_MUCH}ε by themselves: {shown}{more}.",)


def outlook(plan: Plan) -> str:
    """What would have to change, if anything would help; empty when something is certified."""
    if plan.certified:
        return ""
    if plan.needed is None:
        return (
            "More prompts of this kind would probably not change that: try a better or cheaper candidate, or allow a "
            "larger loss."
        )
    return (
        f"It probably takes about {plan.needed:,} scored prompts in all, {max(0, plan.needed - plan.rows):,} more than "
        "there are."
    )


def _tried(plan: Plan) -> str:
    candidates = ", ".join(clean(model) for model in plan.candidates)
    return (
        f"On {plan.rows:,} prompts, no request can be moved from {clean(plan.incumbent)} to {candidates} with a loss "
        f"of at most {plan.epsilon:g} at confidence {confidence(plan)}."
    )


def gate(plan: Plan) -> str:
    """What the novelty gate does and costs."""
    cost = f", which forgoes {plan.gate_cost:.1%} of the dollars" if plan.certified else ""
    return f"The novelty gate sends {plan.gate_share:.1%} of requests, unlike the evidence, to the incumbent{cost}."


def bound(plan: Plan) -> str:
    """How near the plan is to what any test could have certified."""
    return (
        f"On these rows, with these estimates, no valid test could have certified a saving above about "
        f"{max(plan.limit, plan.saving):.0%} more often than not."
    )


def dollars(amount: float) -> str:
    """`$12.30`, `$0.0042`, `$0`: two digits that count, at least."""
    if amount == 0.0:
        return "$0"
    return f"${amount:,.2f}" if abs(amount) >= 0.1 else f"${amount:.2g}" if abs(amount) >= 1e-4 else f"${amount:.1e}"


def share(value: float) -> str:
    """A share in [0, 1] to the percent."""
    return "<1%" if 0.0 < value < 0.005 else f"{value:.0%}"


def task_name(task: TaskPlan) -> str:
    """The task's name, or that it has none."""
    return clean(task.task) or NO_TASK


def goes_to(task: TaskPlan, *, named: bool = True) -> str:
    """Which models answer which share of a task's requests; the rest stays. `named`: say the model's name."""
    served = sorted(task.served.items(), key=lambda item: -item[1])
    return ", ".join(f"{clean(model)} {share(part)}" if named else share(part) for model, part in served) or "stays"


def assumptions(plan: Plan) -> tuple[str, ...]:
    """What the figures mean and rest on, and what they do not cover."""
    parts = plan.parts
    risk = (
        "The loss is averaged over all requests; those that stay with the incumbent lose nothing."
        if plan.risk == "traffic"
        else "The loss is averaged over the requests that move, and over those alone."
    )
    loss = (
        "The loss of a request is the incumbent's score less the score of what answers: gains offset harm."
        if plan.loss == "signed"
        else "The loss of a request is the incumbent's score less the score of what answers, or 0 if that is better."
    )
    signal = (
        "Who answers is decided from the prompt alone, before any model is asked."
        if plan.signal == "prompt"
        else "A cheap model may be asked first and its answer looked at; calls made in vain are counted in the dollars."
    )
    split = (
        f"Prompts were divided by chance, equal prompts together: {parts.get('fit', 0):,} to fit estimates, "
        f"{parts.get('tune', 0):,} to choose the steps, {parts.get('certify', 0):,} to test them. The last part chose "
        "nothing; shares, scores and dollars by task, and the picture, are measured on it."
        if parts
        else "There were too few prompts to divide them into parts that fit, choose and test."
    )
    return (
        f"{loss} {risk}",
        signal,
        split,
        f"Steps from strict to lax are tested in an order fixed beforehand, up to the first that fails"
        f"{f', by the {plan.test} test' if plan.test else ''}. A rule this strict would pass a ladder that loses more "
        f"than {plan.epsilon:g} in at most {plan.delta:.4g} of all plans made so (δ).",
        "That holds for a plan whose models and limits were chosen before looking. Trying others on the same file, and "
        "keeping the best, spends the same δ again each time.",
        "It holds for requests like those in the file: drawn from the same traffic, scored by the same scorer, with no "
        "model changed behind its name. Tasks that are not in the file are not covered: the gate is there to turn them "
        "away.",
        "A score is taken at its word. If the scorer favours one model, so does the plan.",
        "Nothing has been changed, and no certificate was signed: that takes recorded traffic and its audits.",
    )
