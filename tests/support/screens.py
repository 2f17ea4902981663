"""Streams that stand for a terminal."""

import io
import re

COLOUR = re.compile(
    r"\x1b\[(?:\d+;)*(?:3[0-9]|4[0-9]|9[0-7]|10[0-7])(?:;\d+)*m"
)  # of letters or of what is behind them


class Terminal(io.StringIO):
    """A stream that says that a person looks at it."""

    def isatty(self):
        return True
