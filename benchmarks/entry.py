"""How a benchmark is started from the command line."""

from collections.abc import Sequence

from cyclopts import App


def run(app: App, arguments: Sequence[str] | None) -> int:
    """Exit code of an app run with these arguments, or with those of the command line."""
    code = app(arguments, result_action="return_value")
    return code if isinstance(code, int) else 0
