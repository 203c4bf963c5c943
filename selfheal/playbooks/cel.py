"""`when`: a condition in CEL over incident, service, target, params and gather.

Rules that this module keeps:
1. CEL has no limit on cost, so the text has: 1,000 characters, brackets 20 deep, one macro over a list (two could be nested).
2. Only the five variables, declared parameters, gathered values and functions of the list below; all of that is known before
   it runs.
3. It is true, or the playbook is not applicable: an error and a result that is no boolean are not true, and say why.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import cel

from selfheal.errors import Invalid, NotApplicable

VARIABLES = ("incident", "service", "target", "params", "gather")
FUNCTIONS = frozenset(
    {
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "has",
        "string",
        "int",
        "uint",
        "double",
        "bool",
        "type",
        "min",
        "max",
    }
)
MAX_LENGTH, MAX_NESTING, MAX_MACROS = 1000, 20, 1

_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|filter|map|transform\w*|sort\w*|bind)\s*\(\s*([A-Za-z_]\w*)?")
_COMMENT = re.compile(r"//[^\n]*\n")  # it could hide a macro from the count
_MEMBER = re.compile(r"""\b(params|gather)\s*(?:\.\s*([A-Za-z_]\w*)|\[\s*["']([^"']*)["']\s*\])""")
_TYPES = {"int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"}
_FAILS = (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError)


def check(text: str, parameters: Collection[str], gathers: Collection[str] = ()) -> None:
    """Raises Invalid saying what is wrong with the condition."""
    if len(text) > MAX_LENGTH:
        raise Invalid(f"has {len(text):,} characters, the limit is {MAX_LENGTH:,}")
    if _nesting(text) > MAX_NESTING:
        raise Invalid(f"its brackets are nested deeper than {MAX_NESTING}")
    if _COMMENT.search(text):
        raise Invalid("comments are not read here")
    macros = _MACRO.findall(text)
    if len(macros) > MAX_MACROS:
        raise Invalid("goes over more than one list: one of all, exists, exists_one, filter or map is the limit")
    program = _compiled(text)
    unknown = set(program.variables()) - {*VARIABLES, *_TYPES, *macros}
    if unknown:
        raise Invalid(f"unknown variable {min(unknown)!r}; known are {', '.join(VARIABLES)}")
    strange = {name for name in program.functions() if name.isidentifier() and name not in FUNCTIONS}
    if strange:
        raise Invalid(f"unknown function {min(strange)!r}; known are {', '.join(sorted(FUNCTIONS))}")
    for root, dotted, quoted in _MEMBER.findall(text):
        if root == "params" and (dotted or quoted) not in parameters:
            raise Invalid(f"params.{dotted or quoted} is no parameter of this playbook")
        if root == "gather" and (dotted or quoted) not in gathers:
            raise Invalid(f"gather.{dotted or quoted} is not gathered by this playbook")


def require(text: str, variables: Mapping[str, Any]) -> None:
    """Raises NotApplicable, with the reason, unless the condition is true. An empty one is true."""
    if not text.strip():
        return
    try:
        result = _compiled(text).execute(dict(variables))
    except Invalid as error:
        raise NotApplicable(f"when: {error}") from None
    except _FAILS as error:
        raise NotApplicable(f"when: {text!r} cannot be evaluated: {_line(error)}") from None
    if result is False:
        raise NotApplicable(f"when: {text!r} is false")
    if result is not True:
        raise NotApplicable(f"when: {text!r} is neither true nor false, it is {type(result).__name__}")


@lru_cache(maxsize=1000)
def _compiled(text: str) -> cel.Program:
    try:
        return cel.compile(text)
    except _FAILS as error:
        raise Invalid(f"is no CEL expression: {_line(error)}") from None


def _nesting(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _line(error: Exception) -> str:
    """The part of the message that says what is wrong, in one line."""
    if isinstance(error, KeyError):
        return f"there is no {error.args[0]}" if error.args else "a key is missing"
    text = str(error)
    found = re.search(r"Syntax error: (.*)", text)
    return (found[1] if found else text.splitlines()[0] if text else error.__class__.__name__)[:200]
