"""Reading what is declared in files, with every fault of every file. Nothing here touches the database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pydantic import RootModel

from healing.actions import ACTIONS
from healing.checks import CHECKS
from selfheal import services, signals
from selfheal.commands import Command, CommandsFile
from selfheal.documents import MAX_BYTES, read, shaped
from selfheal.errors import Invalid, InvalidDocument, TooLarge
from selfheal.playbooks import PlaybookDocument, Rehearsed, Vocabulary, parse, rehearse
from selfheal.queries import QueriesFile, Query
from selfheal.services import ServicesFile
from selfheal.signals import SignalsFile

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Read:
    """One playbook as its file says it."""

    path: str
    source: str
    document: PlaybookDocument


@dataclass(frozen=True)
class Tried:
    """A playbook, and how each of its tests went."""

    read: Read
    cases: list[Rehearsed]

    def plain(self) -> dict[str, Any]:
        return {"playbook": self.read.document.playbook, "path": self.read.path, "tests": [asdict(case) for case in self.cases]}


@dataclass
class Files:
    """All that the files declare; `services` is None where there is no services.yaml."""

    services: ServicesFile | None = None
    playbooks: list[Read] = field(default_factory=list)
    errors: list[Invalid] = field(default_factory=list)
    warnings: list[Invalid] = field(default_factory=list)


def read_files(config_dir: Path, playbook_dirs: Iterable[Path]) -> Files:
    files = Files()
    files.services = _collect(files, _services, config_dir / "services.yaml")
    vocabulary = vocabulary_of(config_dir, files)
    files.playbooks = read_playbooks(files, playbook_dirs, vocabulary)
    if vocabulary.queries is not None:
        _collect(files, signals_in, config_dir / "signals.yaml", vocabulary.queries)
    return files


def check(config_dir: Path, places: Iterable[Path]) -> Files:
    """The playbooks in `places` alone, judged by the commands and queries of `config_dir`; one without tests is warned of."""
    files = Files()
    files.playbooks = read_playbooks(files, places, vocabulary_of(config_dir, files))
    for each in files.playbooks:
        if not each.document.tests:
            said = "has no `tests`: nothing shows what it would do, and when it would not"
            files.warnings.append(Invalid(said, field="tests", file=each.path, line=1, column=1))
    return files


def try_out(config_dir: Path, places: Iterable[Path], names: Collection[str] = ()) -> tuple[Files, list[Tried]]:
    """The playbooks in `places` (those that are named, or all) with their tests run. Raises Invalid for an unknown name."""
    files = Files()
    vocabulary = vocabulary_of(config_dir, files)
    files.playbooks = read_playbooks(files, places, vocabulary)
    known = {each.document.playbook: each for each in files.playbooks}
    missing = sorted(set(names) - set(known))
    if missing and not files.errors:
        raise Invalid(f"there is no playbook or file {missing[0]!r}; there are {', '.join(sorted(known)) or 'none'}")
    return files, [Tried(known[name], rehearse(known[name].document, vocabulary)) for name in known if not names or name in names]


def vocabulary_of(config_dir: Path, files: Files) -> Vocabulary:
    """Our actions and checks, with the commands and queries of `config_dir`; faults go into `files`."""
    commands = _collect(files, commands_in, config_dir / "commands.yaml")
    return Vocabulary(ACTIONS, CHECKS, commands, _collect(files, queries_in, config_dir / "queries.yaml"))


def read_playbooks(files: Files, places: Iterable[Path], vocabulary: Vocabulary) -> list[Read]:
    """Every playbook in `places` (directories, or files); faults go into `files`."""
    found: dict[str, Read] = {}
    for path in _paths(files, places):
        each = _collect(files, _playbook, path, vocabulary)
        if each is None:
            continue
        name = each.document.playbook
        if name in found:
            said = f"playbook {name!r} stands in {found[name].path} as well"
            files.errors.append(Invalid(said, field="playbook", file=shown(path), line=1, column=1))
        found.setdefault(name, each)
        files.warnings += each.document.warnings
    return list(found.values())


def commands_in(path: Path) -> dict[str, Command]:
    """The commands of one commands.yaml; none if there is no such file. Raises InvalidDocument."""
    return _named_in(path, CommandsFile)


def queries_in(path: Path) -> dict[str, Query]:
    """The queries of one queries.yaml, in the same way."""
    return _named_in(path, QueriesFile)


def signals_in(path: Path, queries: Mapping[str, Query]) -> SignalsFile:
    """What signals.yaml says; nothing if there is no such file. Raises InvalidDocument."""
    return signals.parse(read(text_of(path), shown(path)), queries) if path.exists() else SignalsFile()


def _named_in(path: Path, model: type[RootModel[dict[str, Any]]]) -> dict[str, Any]:
    if not path.exists():
        return {}
    document = read(text_of(path), shown(path))
    return {} if document.value is None else shaped(document, model).root


def text_of(path: Path) -> str:
    """The text of a file that is not too large. Raises Invalid."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TooLarge(f"is larger than {MAX_BYTES // 1024} KiB", file=shown(path), line=1, column=1)
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"is no UTF-8: byte {error.start} cannot be read", file=shown(path), line=1, column=1) from None
    except OSError as error:
        raise Invalid(f"cannot be read: {error.strerror}", file=shown(path), line=1, column=1) from None


def shown(path: Path) -> str:
    """The path as people look for it: from where they stand, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _services(path: Path) -> ServicesFile | None:
    return services.parse(read(text_of(path), shown(path))) if path.exists() else None


def _playbook(path: Path, vocabulary: Vocabulary) -> Read:
    source = text_of(path)
    return Read(shown(path), source, parse(source, shown(path), vocabulary))


def _paths(files: Files, places: Iterable[Path]) -> list[Path]:
    paths: list[Path] = []
    for place in places:
        if place.is_dir():
            paths += sorted(p for p in place.iterdir() if p.suffix in (".yaml", ".yml") and not p.name.startswith("."))
        elif place.exists():
            paths.append(place)
        else:
            said = "there is no such directory or file; SELF_HEAL_PLAYBOOK_DIRS names where playbooks are"
            files.errors.append(Invalid(said, file=shown(place), line=1, column=1))
    return paths


def _collect(files: Files, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T | None:
    """What `function` returns; None, and its faults kept, if what it reads is wrong."""
    try:
        return function(*arguments, **named)
    except InvalidDocument as error:
        files.errors += error.errors
    except Invalid as error:
        files.errors.append(error)
    return None
