"""Bar charts of days, laid out here and drawn as SVG by a template: no script, no inline style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 150
# For the labels on the left and below.
LEFT: Final = 52
BOTTOM: Final = 22
TOP: Final = 12
GAP: Final = 2


@dataclass(frozen=True, slots=True)
class Bar:
    day: date
    value: int
    x: float
    y: float
    width: float
    height: float
    labelled: bool


@dataclass(frozen=True, slots=True)
class Tick:
    value: int
    y: float


@dataclass(frozen=True, slots=True)
class Chart:
    """``bars`` hold the coordinates; ``kind`` is the class that the style sheet colours."""

    title: str
    note: str
    kind: str
    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    total: int
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    floor: int = HEIGHT - BOTTOM
    label_y: int = HEIGHT - 5


def bar_chart(
    title: str, kind: str, days: Sequence[date], values: Mapping[date, int], *, note: str = ""
) -> Chart:
    """One bar for each day, from zero to a round number at or above the largest value."""
    top = round_up(max((values.get(day, 0) for day in days), default=0))
    room = HEIGHT - BOTTOM - TOP
    step = (WIDTH - LEFT) / max(len(days), 1)
    bars = []
    for number, day in enumerate(days):
        value = values.get(day, 0)
        # A value that is not zero is seen, however small it is beside the largest.
        height = max(room * value / top, 1.5) if value else 0.0
        bars.append(
            Bar(
                day=day,
                value=value,
                x=round(LEFT + number * step + GAP / 2, 1),
                y=round(HEIGHT - BOTTOM - height, 1),
                width=round(step - GAP, 1),
                height=round(height, 1),
                labelled=(len(days) - 1 - number) % 7 == 0,
            )
        )
    ticks = [Tick(top, TOP), Tick(0, HEIGHT - BOTTOM)]
    if top % 2 == 0:
        ticks.insert(1, Tick(top // 2, TOP + room / 2))
    total = sum(bar.value for bar in bars)
    return Chart(title, note, kind, bars, ticks, total)


def round_up(value: int) -> int:
    """The smallest of 2, 4, 6, 8, 10, 20, 40, ... that is not below ``value``."""
    unit = 1
    while True:
        for factor in (2, 4, 6, 8, 10):
            if factor * unit >= value:
                return factor * unit
        unit *= 10
