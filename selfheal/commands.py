"""commands.yaml: what `command.run {command: NAME, args: {…}}` may start.

```yaml
rotate-logs:
  argv: [/usr/sbin/logrotate, --force, "${args.file}"]
  args:
    file: {type: string, pattern: "^/etc/logrotate.d/[a-z0-9-]+$"}
  timeout: 60s
```

Rules that this module keeps:
1. A command is an argument list; its first element is an absolute path and no slot.
2. A slot is a whole element, and it stays one element whatever its value holds. There is no shell.
3. Every slot is declared and bounded, every declared argument has a slot; text needs a pattern or an enum.
4. It runs in the sandbox where the machine has one, and under limits; `sandbox: false` and `limits` say otherwise.
5. The environment is the caller's own and what stands under `env`; only there a `${secret.NAME}` may stand, and it stays a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, RootModel, model_validator

from selfheal.bounds import Bound, Duration, Strict
from selfheal.errors import Invalid

_SLOT = re.compile(r"\$\{args\.([a-z][a-z0-9_]*)\}")
_SECRET = re.compile(r"\$\{secret\.[A-Za-z0-9_.-]{1,100}\}")


def _plain(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL")
    return value


Text = Annotated[str, Field(max_length=4096), AfterValidator(_plain)]


class Limits(Strict):
    """What one process of a command may have; the defaults are for tools that are no Java or database dump."""

    memory_mib: int = Field(default=4096, ge=16, le=1_048_576)  # of address space
    file_size_mib: int = Field(default=4096, ge=1, le=1_048_576)


class Command(Strict):
    """One argument list with bounded slots. `timeout` is in milliseconds once read; null: the step's own."""

    argv: list[Text] = Field(min_length=1, max_length=200)
    args: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")], Bound] = {}
    env: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Text] = {}
    idempotent: bool = False
    timeout: Duration | None = None
    sandbox: bool = True  # false: it has to see or end other processes, or to become another user
    limits: Limits = Limits()
    description: str = ""

    @model_validator(mode="after")
    def _closed(self) -> Command:
        if not self.argv[0].startswith("/"):
            raise ValueError(f"`argv` begins with an absolute path; {self.argv[0]!r} is not one")
        for element in self.argv:
            if "${" in element and not _SLOT.fullmatch(element):
                raise ValueError(f"{element!r}: a slot is a whole element, written ${{args.NAME}}")
        declared(self.args, {slot for slot in map(_slot, self.argv) if slot}, "`argv`")
        for name, value in self.env.items():
            if "${" in value and not _SECRET.fullmatch(value):
                raise ValueError(f"env {name}: only a whole ${{secret.NAME}} may stand there")
        return self

    def fill(self, given: Mapping[str, Any], field: str = "args") -> list[str]:
        """The argument list with every slot filled. Raises Invalid for an argument that is missing, unknown or out of bounds."""
        values = {name: as_text(value) for name, value in filled_in(self.args, given, field, "command").items()}
        return [values[slot] if (slot := _slot(element)) else element for element in self.argv]


class CommandsFile(RootModel[dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")], Command]]):
    """The whole of commands.yaml."""


def as_text(value: str | int | bool) -> str:
    """A value as one element of an argument list."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def declared(args: Mapping[str, Bound], slots: set[str], where: str) -> None:
    """Raises ValueError unless `args` declares just the slots that stand `where`, each held by its bound."""
    for name in sorted(slots ^ set(args)):
        said = "has no bound under `args`" if name in slots else f"is declared and has no slot in {where}"
        raise ValueError(f"argument {name!r} {said}")
    for name, bound in args.items():
        if bound.type == "list":
            raise ValueError(f"argument {name!r}: a list cannot be one element")
        if bound.type == "string" and bound.pattern is None and bound.enum is None:
            raise ValueError(f"argument {name!r}: text that goes in from outside needs a `pattern` or an `enum`")


def filled_in(args: Mapping[str, Bound], given: Mapping[str, Any], field: str, what: str) -> dict[str, Any]:
    """The typed value of each argument. Raises Invalid for one that is missing, unknown or out of bounds."""
    for name in given:
        if name not in args:
            raise Invalid(f"is no argument of this {what}; known: {', '.join(args) or 'it takes none'}", field=f"{field}.{name}")
    for name in args:
        if name not in given:
            raise Invalid("is missing", field=f"{field}.{name}")
    return {name: bound.accept(given[name], f"{field}.{name}") for name, bound in args.items()}


def _slot(element: str) -> str:
    found = _SLOT.fullmatch(element)
    return found[1] if found else ""
