"""How often something may happen: so many times in so many seconds, spent at once or evenly, refilled evenly.

Rules that this module keeps:
1. The caller gives the time. It is one number that only grows, such as `time.monotonic()`.
2. Whoever is refused is told how many seconds to wait, and a refusal costs nothing: waiting that long is enough.
3. Memory is bounded: beyond `most` keys the one that called longest ago is forgotten, as if it had never called.

This is the generic cell rate algorithm: one number a key, the time at which all that was spent is refilled.

    limit = Limit(calls=2, seconds=60)
    limit.take("ann", 0.0)  # 0.0: taken
    limit.take("ann", 1.0)  # 0.0
    limit.take("ann", 2.0)  # 28.0: the first of the two is there again at 30
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock


class Limit:
    """At most `calls` in any `seconds` for each key."""

    def __init__(self, calls: int, seconds: float, most: int = 10_000) -> None:
        self.calls, self.seconds, self.most = calls, seconds, most
        self._each = seconds / calls
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = Lock()

    def wait(self, key: Hashable, now: float) -> float:
        """The seconds until the next call is allowed; 0.0: now."""
        with self._lock:
            return self._wait(key, now)

    def take(self, key: Hashable, now: float) -> float:
        """Spend one call if it is allowed; else the seconds to wait, and nothing is spent."""
        with self._lock:
            wait = self._wait(key, now)
            if wait == 0.0:
                self._full_at[key] = max(self._full_at.get(key, now), now) + self._each
                self._full_at.move_to_end(key)
                if len(self._full_at) > self.most:
                    self._full_at.popitem(last=False)
            return wait

    def forget(self) -> None:
        """As if nobody had called."""
        with self._lock:
            self._full_at.clear()

    def _wait(self, key: Hashable, now: float) -> float:
        return max(0.0, self._full_at.get(key, now) + self._each - now - self.seconds - 1e-9)
