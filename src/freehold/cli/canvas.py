"""Lines drawn with characters: eight dots to a cell where the terminal knows braille, else one letter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.text import Text

Point = tuple[float, float]
"""Both coordinates in [0, 1], from the lower left."""
_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Of a braille character (U+2800 and on): by column, then from top to bottom."""
_BLANK = 0x2800


class Canvas:
    """So many character cells; what is drawn later lies on top."""

    def __init__(self, columns: int, rows: int, *, braille: bool) -> None:
        self._columns, self._rows = columns, rows
        self._across, self._down = (2, 4) if braille else (1, 1)
        self._dots: dict[tuple[int, int], int] = {}
        self._letters: dict[tuple[int, int], str] = {}
        self._styles: dict[tuple[int, int], str] = {}

    def line(self, points: Sequence[Point], letter: str, style: str, dashes: tuple[int, int] = (1, 0)) -> None:
        """Through the points; `letter` stands for a dot where there is no braille.

        `dashes`: so many dots are drawn, so many left out, and so on.
        """
        dots = [self._dot(point) for point in points]
        drawn = 0
        for (x0, y0), (x1, y1) in pairwise(dots):
            steps = max(abs(x1 - x0), abs(y1 - y0), 1)
            for step in range(steps + 1):
                if drawn % sum(dashes) < dashes[0]:
                    self._set(round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps), letter, style)
                drawn += 1

    def mark(self, point: Point, letter: str, style: str) -> None:
        """One character in place of what was drawn there."""
        x, y = self._dot(point)
        cell = (x // self._across, y // self._down)
        self._letters[cell], self._styles[cell] = letter, style

    def lines(self) -> list[Text]:
        """The cells, from top to bottom."""
        return [self._line(row) for row in range(self._rows)]

    def _line(self, row: int) -> Text:
        made = Text()
        for column in range(self._columns):
            cell = (column, row)
            drawn = chr(_BLANK + self._dots[cell]) if cell in self._dots else " "
            made.append(self._letters.get(cell, drawn), self._styles.get(cell, ""))
        return made

    def _dot(self, point: Point) -> tuple[int, int]:
        x, y = (min(max(share, 0.0), 1.0) for share in point)
        return round(x * (self._columns * self._across - 1)), round((1.0 - y) * (self._rows * self._down - 1))

    def _set(self, x: int, y: int, letter: str, style: str) -> None:
        cell = (x // self._across, y // self._down)
        self._styles[cell] = style
        if self._across == 1:
            self._letters[cell] = letter
        else:
            self._dots[cell] = self._dots.get(cell, 0) | _BITS[x % 2][y % 4]
