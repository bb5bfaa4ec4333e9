"""The layout of a chart of gains and losses, which a template draws as SVG.

It needs no script and no inline style, so a content security policy does not block it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

WIDTH: Final = 480
HEIGHT: Final = 190
# For the labels on the left, on the right and below.
LEFT: Final = 40
RIGHT: Final = 24
BOTTOM: Final = 22
TOP: Final = 8
GAP: Final = 2
LABELS: Final = 5


@dataclass(frozen=True, slots=True)
class Step:
    """A day or a month. ``gained`` and ``lost`` are drawn from the zero line, up and down."""

    start: date
    gained: int
    lost: int
    x: float
    middle: float
    width: float
    y: float
    gained_height: float
    lost_height: float
    labelled: bool


@dataclass(frozen=True, slots=True)
class Tick:
    value: int
    y: float


@dataclass(frozen=True, slots=True)
class Chart:
    """All coordinates are in the units of the ``viewBox``."""

    steps: Sequence[Step]
    ticks: Sequence[Tick]
    zero: float
    gained: int
    lost: int
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    label_y: int = HEIGHT - 5


def chart_of(starts: Sequence[date], gained: Mapping[date, int], lost: Mapping[date, int]) -> Chart:
    """One step for each start, up and down to the same scale, with round numbers as ticks."""
    ups = [gained.get(start, 0) for start in starts]
    downs = [lost.get(start, 0) for start in starts]
    top = round_up(max(ups, default=0))
    depth = round_up(max(downs)) if any(downs) else 0
    scale = (HEIGHT - BOTTOM - TOP) / (top + depth)
    zero = TOP + scale * top
    width = (WIDTH - LEFT - RIGHT) / max(len(starts), 1)
    every = max(1, -(-len(starts) // LABELS))
    steps = []
    for number, (start, up, down) in enumerate(zip(starts, ups, downs, strict=True)):
        x = LEFT + number * width
        height = _height(up, scale)
        steps.append(
            Step(
                start=start,
                gained=up,
                lost=down,
                x=round(x + GAP / 2, 1),
                middle=round(x + width / 2, 1),
                width=round(width - GAP, 1),
                y=round(zero - height, 1),
                gained_height=height,
                lost_height=_height(down, scale),
                labelled=(len(starts) - 1 - number) % every == 0,
            )
        )
    ticks = [Tick(top, TOP), Tick(0, round(zero, 1))]
    if depth:
        ticks.append(Tick(depth, round(zero + scale * depth, 1)))
    return Chart(steps, ticks, round(zero, 1), sum(ups), sum(downs))


def _height(value: int, scale: float) -> float:
    """The height of a bar. Values above zero get a visible minimum."""
    return round(max(value * scale, 1.5), 1) if value else 0.0


def round_up(value: int) -> int:
    """The smallest of 2, 4, 6, 8, 10, 20, 40, ... that is not below ``value``."""
    unit = 1
    while True:
        for factor in (2, 4, 6, 8, 10):
            if factor * unit >= value:
                return factor * unit
        unit *= 10
