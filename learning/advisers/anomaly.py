"""Is the newest point of a series unlike those before it?"""

from __future__ import annotations

from selfheal.advice import Advice, Facts
from selfheal.anomaly import Scorer
from selfheal.series import from_facts


def advise(facts: Facts) -> Advice:
    """`points`: the recent past in order, oldest first, a list of (time, value). The score is that of the last point."""
    scorer = Scorer()
    score = 0.0
    for point in from_facts(facts):
        score = scorer.score(*point)
    return Advice(score, None, (scorer.why,))
