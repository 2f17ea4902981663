"""Standard error, whose faults are no reason to stop: closed, full or absent, it takes every line."""

import contextlib
import sys

_FAULTS = (AttributeError, OSError, ValueError)  # the stream is absent; full or broken; closed


class StandardError:
    """A text stream to what was standard error when it was made; faults in writing are ignored."""

    def __init__(self) -> None:
        self._stream = sys.stderr  # while bars are drawn, rich has put something else there
        self.encoding = getattr(self._stream, "encoding", "utf-8")

    def write(self, text: str) -> int:
        """Write as much as can be written.

        Args:
            text: with its line ends.

        Returns:
            The length of the text.
        """
        with contextlib.suppress(*_FAULTS):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with contextlib.suppress(*_FAULTS):
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person may be looking.

        Returns:
            True on a terminal.
        """
        try:
            return self._stream.isatty()
        except _FAULTS:
            return False


def say(text: str) -> None:
    """Write a line to standard error.

    Args:
        text: without its line end.
    """
    stream = StandardError()
    stream.write(f"{text}\n")
    stream.flush()
