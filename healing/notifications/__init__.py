"""People and programs are told what happens, by channels.

Rules that this package keeps:
1. A notification is written in the transaction of what it tells of, one row a channel that wants it. It is sent afterwards by a
   worker, never inside a transaction, and tried again a bounded number of times.
2. Nobody is told while nothing is executed, nor about a service on `observe`: no row is written.
3. No secret stands in a message, nor in a row, an error, a page or an entry about one.
4. Where no channel was declared, SELF_HEAL_NOTIFY_URLS is the last resort, for all but good news.
"""

from .entries import about, guardrail, kill_switch, storm, unhealed
from .sending import deliver, prune, send_again
from .writing import addresses, hint, tell

__all__ = [
    "about",
    "addresses",
    "deliver",
    "guardrail",
    "hint",
    "kill_switch",
    "prune",
    "send_again",
    "storm",
    "tell",
    "unhealed",
]
