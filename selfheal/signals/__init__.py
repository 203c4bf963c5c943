"""Signals: what numbers that were measured say about the health of a target. Values in, values out."""

from .files import Pull, SignalsFile, parse
from .reading import METRIC, Measured, ReadSamples, read_samples
from .rules import BUILT_IN, FUTURE, Condition, Threshold, begin, change_over, is_news, is_stale, mean, of_severity, step, worst

__all__ = [
    "BUILT_IN",
    "FUTURE",
    "METRIC",
    "Condition",
    "Measured",
    "Pull",
    "ReadSamples",
    "SignalsFile",
    "Threshold",
    "begin",
    "change_over",
    "is_news",
    "is_stale",
    "mean",
    "of_severity",
    "parse",
    "read_samples",
    "step",
    "worst",
]
