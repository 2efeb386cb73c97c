"""The exceptions that users meet. A message says what happened, what was expected, and what to do.

Every exception carries the exit code of the command line (`0` done, `1` failed, `2` wrong usage, `3` finished with some
inputs left out).
"""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INCOMPLETE = 3


class ConvLSTMError(Exception):
    """Base of all errors that this package raises on purpose."""

    exit_code = EXIT_FAILED


class ConfigError(ConvLSTMError):
    """A setting, in YAML, as a flag or as an argument, is unknown or out of range."""

    exit_code = EXIT_USAGE


class DataError(ConvLSTMError):
    """Frames, videos or masks cannot be used as they are."""


class ManifestError(DataError):
    """`data.csv` cannot be used; the message names the line."""


class CheckpointError(ConvLSTMError):
    """A weights file is damaged, foreign, or does not fit."""


class TrainingError(ConvLSTMError):
    """Training cannot start, go on or be resumed."""


class Terminated(BaseException):
    """SIGTERM: the counterpart of KeyboardInterrupt, which `except Exception` lets pass too."""


def printable(text: str) -> str:
    """One line without control, direction or undecodable characters: white space becomes a space, the rest U+FFFD."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)
