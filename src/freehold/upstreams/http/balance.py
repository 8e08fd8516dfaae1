"""Which of several deployments of a model is asked next."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from freehold.upstreams.http.breaker import State
from freehold.upstreams.http.deployment import Deployment


class Balance:
    """Smooth weighted round-robin, as nginx does it; of equals, the one with the fewest requests under way."""

    __slots__ = ("_deployments", "_only")

    def __init__(self, deployments: Sequence[Deployment]) -> None:
        """At least one."""
        self._deployments = tuple(deployments)
        self._only = deployments[0] if len(deployments) == 1 else None

    def choose(self, tried: Collection[Deployment] = ()) -> Deployment | None:
        """Where to send; rather where this request was not `tried` yet. None: all rest.

        One that has asked for fewer requests is asked only where there is no other.
        """
        only = self._only
        if only is not None:
            return only if only.breaker.state is State.CLOSED or only.breaker.ready() else None
        ready = [deployment for deployment in self._deployments if deployment.breaker.ready()]
        willing = [deployment for deployment in ready if not deployment.limited] or ready
        untried = [deployment for deployment in willing if deployment not in tried] or willing
        return _next(untried) if untried else None

    def another(self, tried: Collection[Deployment]) -> bool:
        """Whether there is one that is well and was not `tried`."""
        return any(
            deployment not in tried and deployment.breaker.ready() and not deployment.limited
            for deployment in self._deployments
        )

    def ready(self) -> bool:
        """Whether there is one that may be asked."""
        return any(deployment.breaker.ready() for deployment in self._deployments)

    def rest(self) -> float:
        """Seconds until one may be asked again, when all rest."""
        return min(deployment.health().rests_for for deployment in self._deployments)


def _next(deployments: Sequence[Deployment]) -> Deployment:
    for deployment in deployments:
        deployment.current += deployment.weight
    chosen = max(deployments, key=lambda deployment: (deployment.current, -deployment.outstanding))
    chosen.current -= sum(deployment.weight for deployment in deployments)
    return chosen
