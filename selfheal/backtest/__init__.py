"""History, played again: what would have been proposed for the alerts of the past, by the rules of today or by others.

told = replay(alerts, declared, Limits())          # one outcome an alert, in the order in which they began
report(told, zone)                                 # counts by verdict, skip, name and service
difference(told, replay(alerts, declared, other))  # what another policy would have decided otherwise
"""

from .history import Refused, Series, merged, read_file
from .report import difference, report
from .simulation import Told, replay
from .world import Declared, Limits, Listed, Stands, declared_by

__all__ = [
    "Declared",
    "Limits",
    "Listed",
    "Refused",
    "Series",
    "Stands",
    "Told",
    "declared_by",
    "difference",
    "merged",
    "read_file",
    "replay",
    "report",
]
