"""What an action is.

An action MUST
1. be named in `ACTIONS`: one of ours there, another's by an entry point `selfheal.actions` of its own name (`healing.plugins`);
2. say its least `impact`, and refuse in `Parameters` whatever it does not know or cannot bound;
3. freeze the same input to the same output, without a clock, a network or a disk, and put into it all that it will do:
   what is frozen is what a person approves, and `run` gets nothing else;
4. write only strings, booleans, null, integers, arrays and objects into what it freezes and into `Result.data`;
5. say by `idempotent` whether these arguments may be run again after a run of which nothing is known;
6. name by `targets` what it would touch, from frozen arguments alone: one name at least, and never one that means all;
7. say by `dry_run`, in one line and from frozen arguments alone, what it would do;
8. say by `reads_only` whether it changes nothing, whatever its arguments: only such a one may stand under `gather`; and by
   `undoes` whether it has an undo of its own: only such a one may have `rollback: undo`;
9. run in a child of its own with no database, no queue and no open file but its outputs, and be killable at any moment;
10. return a `Result`, or become a program by `execute` (exit code 0 is success): an exception is a failed result;
11. ask `context.spawn` for a program that is to outlive it; every other descendant is ended with it;
12. get a secret by `context.secret` only, so that it is masked wherever it comes out;
13. if it `undoes`: call `context.note({"before": …})` before it changes anything, and take `before` from `context.earlier`
    where it stands there (an earlier attempt has changed it already). No note means that nothing was changed.

It MAY have an `undo`: frozen arguments for itself that put back what `run` changed, with the same `targets`; None if it has
none, or if `data` does not tell what was before. It MAY say by `put_back_after` after how many seconds its undo is run by
itself; an undo is never put back. It MAY print: both outputs are kept, bounded and masked. It MAY wait for as long as its step
has time. It MAY read labels and commands of its `Place`, which only an administrator can set, but never alert text.

`healing.actions.conformance` checks what of this can be checked; every action of ours passes it, and so should yours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from pydantic import BaseModel

from healing.detached import Spawned
from healing.http import Guard
from healing.launcher.channel import Channel
from healing.remote.client import Keys
from healing.result import Result
from selfheal.errors import Invalid, NotAllowed
from selfheal.places import Place
from selfheal.states import Impact

__all__ = ["PARTS", "Action", "Context", "Lasting", "Place", "Result", "Spawned"]

NO_KEYS = Keys(Path("ssh_key"), Path("ssh_known_hosts"))
SECRET = re.compile(r"\$\{secret\.([A-Za-z0-9_.-]{1,100})\}")


def _nobody(*_: Any, **__: Any) -> Any:
    raise NotAllowed("this needs a channel to the worker: use `context.on(channel)`")


@dataclass(frozen=True)
class Context:
    """What an action may use while it runs. `on(channel)` ties it to the worker, which starts programs and masks secrets."""

    idempotency_key: str
    service: str
    target: str
    allowed: Collection[str] = ()  # URLs whose origins were declared
    networks: Collection[str] = ()
    secrets_dir: Path = Path("/run/secrets")
    home: Path = Path("var")
    bound_seconds: float = 60.0  # of this step
    ssh: Keys = NO_KEYS
    notify_urls: Sequence[str] = ()
    sandbox: Sequence[str] = ()  # what stands before a command's argument list (`healing.sandbox`); empty: there is none
    prometheus_url: str = ""
    samples: Sequence[tuple[float, float]] = ()  # of the signal that the arguments name: (seconds ago, value), the newest first
    cli_verify: bool = False
    earlier: Mapping[str, Any] = field(default_factory=dict)  # what an earlier attempt of this step noted and returned
    spawn: Callable[..., Spawned] = field(default=_nobody)  # (argv, *, cwd, env, log, record); raises OSError
    mask: Callable[[str], None] = field(default=_nobody)
    within: Callable[[float], None] = field(default=_nobody)  # seconds: a bound tighter than the step's
    note: Callable[[Mapping[str, Any]], None] = field(default=_nobody)  # kept in Result.data, however the work ends

    def on(self, channel: Channel) -> Context:
        return replace(self, spawn=channel.spawn, mask=channel.mask, within=channel.within, note=channel.note)

    @property
    def guard(self) -> Guard:
        return Guard.of(self.allowed, self.networks)

    def secret(self, name: str) -> str:
        """The secret's text. Raises Invalid if there is none; the message names the file, never the text."""
        path = self.secrets_dir / name
        try:
            text = path.read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"secret {name} cannot be read from {path}: {error.__class__.__name__}", field="secret") from error
        if not text:
            raise Invalid(f"secret {name} is empty: {path}", field="secret")
        for form in sorted({text, json.dumps(text)[1:-1], quote(text, safe="")}):  # as an answer or an error may show it
            self.mask(form)
        return text

    def reveal(self, text: str) -> str:
        """`text` with every ${secret.NAME} replaced; the whole is masked as well, since an answer may echo it."""
        revealed = SECRET.sub(lambda found: self.secret(found[1]), text)
        if revealed != text:
            self.mask(revealed)
        return revealed

    def address(self, url: str) -> str:
        """As `reveal`, for an address: a secret that is only a part of it is percent-encoded."""
        whole = SECRET.fullmatch(url)
        revealed = self.secret(whole[1]) if whole else SECRET.sub(lambda found: self._quoted(found[1]), url)
        self.mask(revealed)
        return revealed

    def _quoted(self, name: str) -> str:
        quoted = quote(self.secret(name), safe="")
        self.mask(quoted)
        return quoted


class Action(Protocol):
    """One thing that a step can do; the rules stand at the top of this module."""

    @property
    def name(self) -> str: ...
    @property
    def impact(self) -> Impact: ...
    @property
    def reads_only(self) -> bool: ...
    @property
    def undoes(self) -> bool: ...
    @property
    def Parameters(self) -> type[BaseModel]: ...

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """The arguments that the plan will hold. Raises Invalid naming the field."""
        ...

    def idempotent(self, arguments: Mapping[str, Any]) -> bool: ...

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """What it would touch, by name. Raises Invalid rather than return none."""
        ...

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        """What it would do, in a line, beginning with a verb: "restart unit web.service"."""
        ...

    def undo(self, arguments: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any] | None:
        """Frozen arguments for this action that put back what `run` changed, from the `Result.data` that it left."""
        ...

    def put_back_after(self, arguments: Mapping[str, Any]) -> float | None:
        """Seconds after its end at which `undo` is run by itself."""
        ...

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        """Do it, with frozen arguments."""
        ...


FACTS = ("name", "impact", "reads_only", "undoes", "Parameters")
PARTS = (*FACTS, "freeze", "idempotent", "targets", "dry_run", "undo", "put_back_after", "run")


class Lasting:
    """What an action says that changes something and has no undo of its own: the beginning of most."""

    reads_only = undoes = False

    def undo(self, arguments: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any] | None:
        return None

    def put_back_after(self, arguments: Mapping[str, Any]) -> float | None:
        return None
