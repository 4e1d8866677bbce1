"""When a line is cut: each of these is asked again and again, with the run's exchanges, until it says so."""

import time


class AfterCounting:
    """Once something was counted and the client has had a moment to read what came before."""

    def __init__(self, counted):
        self._counted = counted
        self._since = None

    def __call__(self, _exchanges):
        if self._since is None and self._counted():
            self._since = time.monotonic()
        return self._since is not None and time.monotonic() - self._since > 0.4


class AtByte:
    """Once so many bytes of answers have passed, those of all requests together."""

    def __init__(self, byte):
        self._byte = byte

    def __call__(self, exchanges):
        return sum(len(exchange["answer"]) for exchange in exchanges) >= self._byte


class AtTime:
    """So many seconds after the first request, if an answer is under way then."""

    def __init__(self, seconds):
        self._seconds = seconds

    def __call__(self, exchanges):
        return time.time() - exchanges[0]["at"] >= self._seconds
