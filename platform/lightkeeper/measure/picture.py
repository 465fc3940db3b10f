"""Small trend pictures that a page of Markdown shows inline.

Owns a line drawn as SVG, and its form as an image in Markdown. What is drawn, and where it is shown, stay out.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence

__all__ = ["markdown", "trend"]

_POINTS = 40  # a picture of so many is about 700 characters of Markdown
_COLOUR = "#38d"  # contrast above 3 both with white and with black
_EDGE = 4  # room for the dot
_INLINE = 1000  # Dagster's UI shows Markdown inline only below so many characters


def trend(values: Sequence[float | None], width: int = 240, height: int = 40) -> str:
    """A line through the values, oldest first, with a dot at its end, as SVG.

    Args:
        values: any number of them. Above 40 they are averaged in equal stretches. The line is broken where values are null
            (or not finite); without any known value the picture is empty.
        width: in pixels, at most 999.
        height: in pixels, at most 999.
    """
    means = _averaged([value if value is not None and math.isfinite(value) else None for value in values])
    known = [value for value in means if value is not None]
    if not known:
        return _svg(width, height, "")
    low, high = min(known), max(known)
'''+''
