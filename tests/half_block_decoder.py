"""Read half-block text as a terminal shows it."""

import re

import numpy as np


def decode(text):
    """Return the gray levels (height, width) that a terminal shows for half blocks, -1 where it shows nothing."""
    rows = []
    for line in text.splitlines():
        upper, lower, ink, paper = [], [], -1, -1
        for code, letter in re.findall("\x1b\\[([0-9;]*)m|(.)", line):
            numbers = [int(number) for number in code.split(";")] if code else []
            if numbers == [0]:
                ink = paper = -1
            elif numbers:
                ground, kind, *levels = numbers
                assert kind == 2
                assert len(set(levels)) == 1, "not a gray"
                ink, paper = (levels[0], paper) if ground == 38 else (ink, levels[0])
            elif letter == "\u2580":
                upper.append(ink)
                lower.append(paper)
            else:
                upper.append(-1)
                lower.append(-1)
        rows += [upper, lower]
    width = max(map(len, rows))
    return np.array([row + [-1] * (width - len(row)) for row in rows])
