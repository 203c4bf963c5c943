"""queries.yaml: the only place where PromQL stands. Checks name a query: `{check: metrics_threshold, query: NAME, args: {…}}`.

```yaml
disk-free-percent:
  promql: 100 * node_filesystem_avail_bytes{instance=${args.host}} / node_filesystem_size_bytes{instance=${args.host}}
  args:
    host: {type: string, pattern: "^[a-z0-9.:-]+$"}
  unit: percent
```

Rules that this module keeps:
1. A slot is the whole value of a label matcher `=` or `!=`, written without quotes. What is put in is a quoted string with every
   character escaped that could end it: a value stays a value, whatever it holds. A slot in a pattern (`=~`) is refused.
2. Every slot is declared and bounded, every declared argument has a slot; text needs a pattern or an enum.
3. Brackets and quotes are closed. More is not known of PromQL here: whether it is sound, the server says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, RootModel, model_validator

from selfheal.bounds import Bound, Strict
from selfheal.commands import as_text, declared, filled_in

MAX_LENGTH = 4000
_SLOT = re.compile(r"\$\{args\.([a-z][a-z0-9_]*)\}")
_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
      | (?P<slot>\$\{[^}]*\})
      | (?P<operator>=~|!~|!=|=)
      | (?P<open>[({\[]) | (?P<close>[)}\]])
      | (?P<quote>["'`]) | (?P<dollar>\$)
      | (?P<space>\s+) | (?P<other>[A-Za-z_:][\w:]*|.)""",
    re.VERBOSE | re.DOTALL,
)
_CLOSES = {")": "(", "}": "{", "]": "["}


class Query(Strict):
    """One query with bounded slots. `unit` is for people."""

    promql: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]
    args: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")], Bound] = {}
    unit: Annotated[str, Field(max_length=30)] = ""
    description: str = ""

    @model_validator(mode="after")
    def _closed(self) -> Query:
        declared(self.args, _slots(self.promql), "`promql`")
        return self

    def fill(self, given: Mapping[str, Any], field: str = "args") -> str:
        """The query with every slot filled. Raises Invalid for an argument that is missing, unknown or out of bounds."""
        values = filled_in(self.args, given, field, "query")
        return _SLOT.sub(lambda found: quoted(as_text(values[found[1]])), self.promql)


class QueriesFile(RootModel[dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")], Query]]):
    """The whole of queries.yaml."""


def quoted(value: str) -> str:
    """`value` as a PromQL string. JSON's escapes are all among Go's, which PromQL has."""
    return json.dumps(value, ensure_ascii=False)


def _slots(promql: str) -> set[str]:
    """The names of the slots. Raises ValueError for one that stands elsewhere than as the value of a label."""
    tokens = [found for found in _TOKEN.finditer(promql) if found.lastgroup != "space"]
    around: list[str] = []  # the brackets that are open
    names = set()
    for position, token in enumerate(tokens):
        kind, text = token.lastgroup, token[0]
        if "${" in text:
            before = [each[0] for each in tokens[max(position - 2, 0) : position]]
            after = tokens[position + 1][0] if position + 1 < len(tokens) else ""
            names.add(_slot(text, str(kind), before, after, around))
        elif kind == "open":
            around.append(text)
        elif kind == "close" and (not around or around.pop() != _CLOSES[text]):
            raise ValueError(f"`promql`: {text!r} closes nothing")
        elif kind in ("quote", "dollar"):
            raise ValueError(
                "`promql`: a quote is not closed" if kind == "quote" else "`promql`: `$` stands for a slot ${args.NAME}"
            )
    if around:
        raise ValueError(f"`promql`: {around[-1]!r} is not closed")
    return names


def _slot(text: str, kind: str, before: list[str], after: str, around: list[str]) -> str:
    if kind == "string":
        raise ValueError(f"`promql`: a slot stands without quotes, they are put around its value: {text[:100]}")
    found = _SLOT.fullmatch(text)
    if not found:
        raise ValueError(f"`promql`: {text[:100]!r} is no slot; write ${{args.NAME}}")
    if around[-1:] != ["{"] or before[1:] not in (["="], ["!="]) or not before[0].isidentifier() or after not in (",", "}"):
        raise ValueError(f"`promql`: {text} is no label's value; a slot stands as {{label={text}}} or {{label!={text}}} only")
    return found[1]
