"""From the text of a file to a playbook, or to every fault that it has."""

from __future__ import annotations

from selfheal.documents import read, shaped
from selfheal.errors import InvalidDocument

from . import lint
from .model import PlaybookDocument
from .vocabulary import Vocabulary


def parse(text: str, file: str, vocabulary: Vocabulary) -> PlaybookDocument:
    """The playbook in `text`. Raises Invalid, or InvalidDocument with each fault at its file:line:column.

    What is allowed but worth a word stands in `warnings`.
    """
    document = read(text, file)
    playbook = shaped(document, PlaybookDocument)
    faults = lint.errors(document, playbook, vocabulary)
    if faults:
        raise InvalidDocument(faults)
    playbook._plain = document.value
    playbook._warnings = tuple(lint.warnings(document, playbook))
    return playbook
