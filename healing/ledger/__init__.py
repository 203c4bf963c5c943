"""The log: `append` writes a leaf in the transaction of the change that it tells of; the sequencer orders and signs.

Everything that changes a governed thing calls `append` in the same transaction. There is no other way in.
"""

from .outbox import append, instant

__all__ = ["append", "instant"]
