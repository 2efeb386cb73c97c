"""Times as people write them."""

import re

from convlstm.errors import ConfigError

_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d*)?|\.\d+)", re.ASCII)


def parse_seconds(text: str, name: str) -> float:
    """Seconds of "90", "1:30", "0:01:30" or "1:30.5". Raises ConfigError, which calls the setting `name`."""
    match = _TIME.fullmatch(text.strip())
    if match is not None:
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        if match[2] is None or (seconds < 60 and (match[1] is None or minutes < 60)):
            return 3600 * hours + 60 * minutes + seconds
    raise ConfigError(f'{name} must be seconds or h:mm:ss, such as 90 or 0:01:30, got "{text}"')
