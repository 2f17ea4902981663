"""The terminal: its faults are no reason to stop, whether it is closed, full, absent, or lacks a letter.

Standard error takes every line. On a terminal in ASCII or Latin-1 a symbol that it lacks is written in letters that it
has, such as ``+-`` for a plus-minus sign.
"""

import codecs
import contextlib
import os
import sys
import unicodedata

_FAULTS = (AttributeError, OSError, ValueError)  # the stream is absent; full or broken; closed

_level = 0  # of what is said: -1 quiet, 0, 1 verbose


def set_verbosity(level: int) -> None:
    """Choose how much the rest of this process says.

    Args:
        level: -1 for results, warnings and errors only, 0, or 1 for plans, protocols and notes too.
    """
    global _level
    _level = level


def is_quiet() -> bool:
    """Whether progress and summaries are left out.

    Returns:
        True after ``--quiet``.
    """
    return _level < 0


def is_verbose() -> bool:
    """Whether plans, protocols, notes and whole tables are shown.

    Returns:
        True after ``--verbose``.
    """
    return _level > 0


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


def fill_closed_streams() -> None:
    """Open the null device as standard input, output or error where that is closed, for this process and its children.

    Else the next file or pipe that is opened gets its number, and what is printed there goes into that.
    """
    inheritable = True
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), inheritable)  # it gets the lowest free number


def say(text: str) -> None:
    """Write a line to standard error.

    Args:
        text: without its line end.
    """
    stream = StandardError()
    stream.write(f"{text}\n")
    stream.flush()


_LETTERS = {"—": "-", "±": "+-", "µ": "u", "≤": "<=", "≥": ">=", "…": "...", "√": "sqrt", "‖": "||", "→": "->"}
_LETTERS |= {"\N{EN DASH}": "-", "\N{MINUS SIGN}": "-", "\N{MULTIPLICATION SIGN}": "x", "\N{BULLET}": "*"}
_LETTERS |= {"\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{GREEK SMALL LETTER MU}": "u", "\N{FULL BLOCK}": "#"}
_LETTERS |= dict.fromkeys("─━═╌╴╶", "-") | dict.fromkeys("│┃║╎", "|")  # lines of tables
_HANDLER = "nfbench.letters"


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    """A codec's error handler: letters in place of what an encoding lacks, a question mark where there are none."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelled, error.object[error.start : error.end])), error.end


def _spelled(letter: str) -> str:
    """A character in ASCII.

    >>> _spelled("±"), _spelled("é"), _spelled("雪")
    ('+-', 'e', '?')
    """
    if letter in _LETTERS:
        return _LETTERS[letter]
    if "BOX DRAWINGS" in unicodedata.name(letter, ""):
        return "+"
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?"


def spell_what_is_missing() -> None:
    """Let standard output and standard error spell the characters that their encodings lack, from now on."""
    codecs.register_error(_HANDLER, _replaced)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(*_FAULTS):
            stream.reconfigure(errors=_HANDLER)  # type: ignore[union-attr]  # of what is no text file: suppressed
