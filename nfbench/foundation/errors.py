"""The one exception that means: what you asked for cannot be done as written."""


class InputError(ValueError):
    """Input that names an unknown thing or an impossible value.

    The message is one line: the thing, its value, and what was expected. The command line prints it and exits with 2.
    """


class MissingDataError(InputError):
    """Data that are not on this machine, but could be."""
