"""The colours of every picture and page, in light, dark and print, and the style sheet that sets them.

The hues are those of Okabe & Ito 2008 ("Color Universal Design", jfly.uni-koeln.de/color), told apart by people with
any of the common colour-vision deficiencies. Which of the eight stand on which ground follows from contrast: graphics
at least 3:1 and text at least 4.5:1 against the ground (WCAG 2.2, 1.4.11 and 1.4.3); a test computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# paper: the ground.  ink: text.  muted: second-rank text and axes.  first, second, third: series.
# glow: a band around the first series.  faint: grids and fills; they carry no meaning alone.
LIGHT: Final[Mapping[str, str]] = {
    "paper": "#ffffff",
    "ink": "#1b1e24",
    "muted": "#59616d",
    "faint": "#dfe3e8",
    "glow": "#d3e6f2",
    "first": "#0072b2",  # blue
    "second": "#d55e00",  # vermillion
    "third": "#008f68",  # bluish green, a step darker than 009e73 so that it keeps 3:1 on the glow
}
DARK: Final[Mapping[str, str]] = {
    "paper": "#14171c",
    "ink": "#eceff3",
    "muted": "#a4adb9",
    "faint": "#30363f",
    "glow": "#1d3a4d",
    "first": "#56b4e9",  # sky blue
    "second": "#e69f00",  # orange
    "third": "#2fc79b",  # bluish green, lighter
}


def _set(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


# Dark only on a screen: paper is light whatever the screen was.
COLOURS: Final = (
    f":root{{color-scheme:light dark;{_set(LIGHT)}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_set(DARK)}}}}}"
    "@media print{:root{color-scheme:light}}"
)

# How marks look, by class.
MARKS: Final[Mapping[str, str]] = {
    "quiet": "fill:var(--muted)",
    "strong": "font-weight:600",
    "large": "font-size:19px;font-weight:600",
    "heading": "font-size:14px;font-weight:600",
    "small": "font-size:11px",
    "grid": "stroke:var(--faint)",
    "axis": "stroke:var(--muted)",
    "edge": "stroke:var(--muted);fill:none",
    "frame": "stroke:var(--muted);fill:var(--paper)",
    "frame-first": "stroke:var(--first);stroke-width:2;fill:var(--paper)",
    "shade": "fill:var(--faint);stroke:none",
    "glow": "fill:var(--glow);stroke:none",
    "limit": "stroke:var(--ink);stroke-dasharray:6 4;fill:none",
    "guide": "stroke:var(--muted);stroke-dasharray:2 3;fill:none",
    "line-first": "stroke:var(--first);stroke-width:2;fill:none",
    "line-second": "stroke:var(--second);stroke-width:2;stroke-dasharray:7 3;fill:none",
    "line-third": "stroke:var(--third);stroke-width:2;stroke-dasharray:2 3;fill:none",
    "dot-first": "fill:var(--first);stroke:var(--paper)",
    "dot-second": "fill:var(--second);stroke:var(--paper)",
    "dot-third": "fill:var(--third);stroke:var(--paper)",
    "dot-quiet": "fill:var(--muted);stroke:var(--paper)",
    "ring-first": "fill:var(--paper);stroke:var(--first);stroke-width:2",
    "ring-second": "fill:var(--paper);stroke:var(--second);stroke-width:2",
    "ring-third": "fill:var(--paper);stroke:var(--third);stroke-width:2",
    "ring-quiet": "fill:var(--paper);stroke:var(--muted);stroke-width:1.5",
    "missing": "stroke:var(--muted);stroke-width:1.6;fill:none",
}

PICTURES: Final = (
    ".picture{background:var(--paper);font-family:system-ui,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"
    "font-size:12px}"
    ".picture text{fill:var(--ink);unicode-bidi:plaintext}"
    + "".join(f".picture .{name}{{{look}}}" for name, look in MARKS.items())
    + "@media print{.picture{print-color-adjust:exact;-webkit-print-color-adjust:exact}}"
)


def _light(look: str) -> str:
    for name, colour in LIGHT.items():
        look = look.replace(f"var(--{name})", colour)
    return look


# The same looks for a PDF, whose library knows classes, but neither custom properties nor selectors of two steps.
PRINTED: Final = f".picture{{font-family:helvetica;font-size:12px;fill:{LIGHT['ink']}}}" + "".join(
    f".{name}{{{_light(look)}}}" for name, look in MARKS.items()
)
