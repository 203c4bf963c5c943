"""The language of playbooks: parse a file, resolve it against an incident and a place into a plan.

document = parse(text, "restart-process.yaml", vocabulary)
planned = to_gather(document, Facts(incident, place), vocabulary)    # read by the caller, each value through `gathered`
plan = resolve(document, Facts(incident, place, gathered=values), vocabulary)
"""

from selfheal.errors import InvalidDocument, NotApplicable

from .cases import Case
from .model import PlaybookDocument
from .parse import parse
from .rehearsal import Rehearsed, rehearse
from .resolve import Facts, gathered, refused, resolve, to_gather
from .vocabulary import ActionSpec, CheckSpec, Vocabulary, impact_of

__all__ = [
    "ActionSpec",
    "Case",
    "CheckSpec",
    "Facts",
    "InvalidDocument",
    "NotApplicable",
    "PlaybookDocument",
    "Rehearsed",
    "Vocabulary",
    "gathered",
    "impact_of",
    "parse",
    "refused",
    "rehearse",
    "resolve",
    "to_gather",
]
