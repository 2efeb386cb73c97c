"""Indices and times of a camera's frames, over connections that break and clocks that drift. No sockets here."""

MAX_CLOCK_ERROR_SECONDS = 10.0
"""Where the camera's clock and ours part by more, ours is taken: at the usual drift, every few days."""

MIN_GAP_SECONDS = 1.0
GAP_INTERVALS = 3.0
_SMOOTHING = 0.1
_JITTER_SECONDS = 0.1

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 3.0


class LiveTimeline:
    """Gives each frame its index, with a gap where time is missing, and its time in seconds since the first frame.

    Within a connection times are the camera's own; between connections our clock measures. A gap is: a new
    connection, frames that were left out, another frame size, or a time between neighbours of over `MIN_GAP_SECONDS`
    and `GAP_INTERVALS` times what is usual.
    """

    def __init__(self) -> None:
        self.last_index: int | None = None
        self.last_seconds = 0.0
        self._start: float | None = None  # arrival of the first frame
        self._base = 0
        self._offset: float | None = None  # from the camera's clock to ours
        self._interval: float | None = None
        self._size: tuple[int, int] | None = None

    def begin_stream(self) -> None:
        """A new connection, whose frame numbers and times begin anew."""
        self._offset = None

    def place(
        self, number: int, camera_seconds: float | None, arrival_seconds: float, size: tuple[int, int]
    ) -> tuple[int, float]:
        """Index and time of the frame with this number in its connection; `arrival_seconds` is by our clock.

        `camera_seconds` is None where the camera tells no times. Frames come in order.
        """
        if self._start is None:
            self._start = arrival_seconds
        arrival = arrival_seconds - self._start
        is_first = self._offset is None
        seconds, is_anew = self._on_our_clock(camera_seconds, arrival)
        if is_first:
            self._base = 0 if self.last_index is None else self.last_index + 2 - number
        elif is_anew or size != self._size or self._is_late(seconds):
            self._base += 1
        if self.last_index is not None:
            seconds = max(seconds, self.last_seconds + 1e-3)
        self.last_index, self.last_seconds, self._size = self._base + number, seconds, size
        return self.last_index, seconds

    def _on_our_clock(self, camera_seconds: float | None, arrival: float) -> tuple[float, bool]:
        """Seconds since the first frame, and whether the camera's clock had to be set anew."""
        if camera_seconds is None:
            self._offset = 0.0
            return arrival, False
        if self._offset is not None:
            seconds = camera_seconds + self._offset
            if abs(seconds - arrival) <= MAX_CLOCK_ERROR_SECONDS and seconds > self.last_seconds - _JITTER_SECONDS:
                return seconds, False
        self._offset = arrival - camera_seconds
        return arrival, True

    def _is_late(self, seconds: float) -> bool:
        waited = seconds - self.last_seconds
        usual = self._interval if self._interval is not None else waited
        self._interval = usual + _SMOOTHING * (waited - usual)
        return waited > max(MIN_GAP_SECONDS, GAP_INTERVALS * usual)


def reconnect_delay(num_failures: int, chance: float) -> float:
    """Seconds to wait before the next try: doubled with each failure up to a limit; `chance` in [0, 1] adds +-25 %.

    Without chance, all cameras behind a switch that comes back would be asked at the same moment, again and again.
    """
    doubled = FIRST_DELAY_SECONDS * 2.0 ** min(num_failures, 10)
    return min(doubled, LONGEST_DELAY_SECONDS) * (0.75 + 0.5 * chance)
