"""The figures of a ledger. All amounts are integer nano-dollars (10⁻⁹ dollars): sums are exact."""

from __future__ import annotations

import msgspec

NANO = 1_000_000_000


class Money(msgspec.Struct, frozen=True):
    """An amount in nano-dollars, by what it rests on."""

    measured: int = 0
    """Tokens as the upstream counted them × the price you configured."""
    quoted: int = 0
    """Tokens as the upstream counted them × the list price (genai-prices)."""
    assumed: int = 0
    """Tokens that Freehold estimated × either price."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.measured + self.quoted + self.assumed

    def __add__(self, other: Money) -> Money:
        return Money(self.measured + other.measured, self.quoted + other.quoted, self.assumed + other.assumed)

    def __sub__(self, other: Money) -> Money:
        return Money(self.measured - other.measured, self.quoted - other.quoted, self.assumed - other.assumed)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger: of a task, a day, a model, or all."""

    key: str
    """Task id, UTC date (`2026-03-02`), model that was asked for (a judge's calls: its own), virtual key's id, or
    `total`; empty where a trace has none."""
    name: str
    """The key as people read it."""
    requests: int = 0
    """Of callers, those that failed included."""
    failed: int = 0
    """Requests that nobody answered: an error, or no answer at all."""
    owned: int = 0
    """Requests answered by owned models; those of exit drills are left out."""
    input_tokens: int = 0
    output_tokens: int = 0
    owned_tokens: int = 0
    """Input and output tokens of owned answers; among the two above."""
    spent: Money = Money()
    """On the incumbent, for callers' requests."""
    rungs: Money = Money()
    """On rented models of ladders that answered callers in the incumbent's place."""
    moved: Money = Money()
    """What the incumbent would have cost for those answers."""
    would_have: Money = Money()
    """What the incumbent would have cost for the owned answers."""
    audits: Money = Money()
    """On the incumbent, to keep measuring owned answers, or to compare those of a drill: counted against us."""
    repeats: Money = Money()
    """On the incumbent, to measure how often it disagrees with itself: counted against us."""
    wasted: Money = Money()
    """On models of ladders whose answers were not given to the caller: counted against us."""
    shadows: Money = Money()
    """On candidates, to learn how well they would answer: counted against us."""
    judges: Money = Money()
    """On models that say which answer is better: counted against us."""
    unpriced: int = 0
    """Exchanges (those of the background included) whose price is unknown: their dollars are in no figure."""

    @property
    def saved(self) -> Money:
        """Net saving: what moved answers would have cost, less what they did and finding out does. May be negative."""
        finding_out = self.audits + self.repeats + self.wasted + self.shadows + self.judges
        return self.would_have + self.moved - self.rungs - finding_out

    @property
    def owned_share(self) -> float:
        """Of requests, in [0, 1]."""
        return self.owned / self.requests if self.requests else 0.0

    @property
    def owned_share_tokens(self) -> float:
        """Of tokens, in [0, 1]."""
        tokens = self.input_tokens + self.output_tokens
        return self.owned_tokens / tokens if tokens else 0.0

    @property
    def owned_share_dollars(self) -> float:
        """Of what all requests would have cost at the incumbent, in [0, 1]."""
        all_dollars = self.spent.total + self.moved.total + self.would_have.total
        return self.would_have.total / all_dollars if all_dollars else 0.0


class EstimateCheck(msgspec.Struct, frozen=True):
    """Audited answers tell how good the estimated cost of owned answers is: the incumbent billed the same request."""

    pairs: int = 0
    estimated: int = 0
    """Nano-dollars that were estimated for the owned answers of these pairs."""
    billed: int = 0
    """Nano-dollars that the incumbent's answers to the same requests cost, by its own token counts."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Every dollar between two times. Each breakdown sums to `total`."""

    since_ns: int | None
    until_ns: int | None
    total: Line
    tasks: tuple[Line, ...]
    """Most requests first."""
    days: tuple[Line, ...]
    """Oldest first; only days with traffic."""
    models: tuple[Line, ...]
    """Most requests first."""
    keys: tuple[Line, ...] = ()
    """By the virtual key that callers sent, most requests first; what came without one, and what was asked in the
    background, under an empty key."""
    check: EstimateCheck


def dollars(nano: int) -> str:
    """An amount to the cent, or, below a dollar, to three significant digits: `$1,234.50`, `$0.00123`, `−$0.05`."""
    sign, value = ("−" if nano < 0 else ""), abs(nano)
    if value >= NANO - 500_000 or value == 0:  # what rounds to a dollar is a dollar
        cents = (value + 5_000_000) // 10_000_000
        return f"{sign}${cents // 100:,}.{cents % 100:02d}"
    digits = min(9, max(2, 12 - len(str(value))))  # a nano-dollar is the ninth decimal
    unit = 10 ** (9 - digits)
    return f"{sign}${(value + unit // 2) // unit * unit / NANO:.{digits}f}"
