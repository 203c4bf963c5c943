from __future__ import annotations

from django.db import models

ENTRY_FILTERS = ("actor", "action", "resource", "subsystem")  # each by itself, with or without a time, is found by an index


class LedgerOutbox(models.Model):
    """A leaf that was written with its change and waits for its index. Only what is already an entry may be deleted."""

    id = models.BigAutoField(primary_key=True)
    leaf = models.BinaryField()

    class Meta:
        verbose_name_plural = "ledger outbox"

    def __str__(self) -> str:
        return f"outbox {self.id}"


class LedgerEntry(models.Model):
    """One leaf of the log with its index and signature. Never updated, never deleted: triggers refuse it."""

    index = models.BigIntegerField(primary_key=True)
    outbox_id = models.BigIntegerField(unique=True)
    leaf = models.BinaryField()
    leaf_hash = models.BinaryField(max_length=32)
    signature = models.BinaryField(max_length=64)
    key_id = models.CharField(max_length=8)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    resource = models.CharField(max_length=300)
    subsystem = models.CharField(max_length=30)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-index"]
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(fields=["at", "index"], name="entry_at"),
            *(models.Index(fields=[name, "at", "index"], name=f"entry_{name}_at") for name in ENTRY_FILTERS),
        ]

    def __str__(self) -> str:
        return f"{self.index}: {self.action}"


class LedgerTile(models.Model):
    """256 hashes of one level of the Merkle tree (C2SP tlog-tiles), and the root over them. Only full tiles are stored."""

    level = models.PositiveSmallIntegerField()
    index = models.BigIntegerField()
    hashes = models.BinaryField()
    root = models.BinaryField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["level", "index"], name="tile_once")]

    def __str__(self) -> str:
        return f"tile {self.level}/{self.index}"


class LedgerHead(models.Model):
    """A signed tree head (C2SP tlog-checkpoint)."""

    size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField(max_length=32)
    note = models.TextField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["-size"]

    def __str__(self) -> str:
        return f"head {self.size}"


class LedgerKey(models.Model):
    """A key of the log, valid from an index on until the next key's."""

    key_id = models.CharField(max_length=8, primary_key=True)
    vkey = models.CharField(max_length=300)
    origin = models.CharField(max_length=200)
    since_index = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["-since_index"]

    def __str__(self) -> str:
        return self.vkey


class LedgerCosignature(models.Model):
    """That a witness has signed for a head (C2SP tlog-cosignature): a line that is checked against the head each time."""

    head = models.ForeignKey(LedgerHead, on_delete=models.PROTECT, related_name="cosignatures")
    witness = models.CharField(max_length=200)
    key_id = models.CharField(max_length=8)
    at = models.DateTimeField(help_text="when, as the witness says")
    line = models.TextField()

    class Meta:
        ordering = ["-head", "witness"]
        constraints = [models.UniqueConstraint(fields=["head", "key_id"], name="cosignature_once")]

    def __str__(self) -> str:
        return f"{self.witness} on {self.head_id}"


class LedgerPlace(models.Model):
    """A witness, or an outside place that heads are pushed to: what it has, and how it went the last time."""

    name = models.CharField(max_length=200, primary_key=True)
    kind = models.CharField(max_length=10)
    size = models.BigIntegerField(default=0, help_text="of the last head that it has")
    note = models.TextField(blank=True)
    tried_at = models.DateTimeField(null=True, blank=True)
    succeeded_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField()
    failures = models.PositiveIntegerField(default=0, help_text="in a row")
    error = models.TextField(blank=True)
    refused = models.BooleanField(
        default=False, help_text="the log does not go on from what it has: written anew, or rolled back"
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class LedgerPatrol(models.Model):
    """One row: how far the pass of `healing.ledger.patrol` is, what it has found so far, and how the last whole one ended."""

    next_index = models.BigIntegerField(default=0, help_text="the entry that is looked at next")
    size = models.BigIntegerField(default=0, help_text="of the head that this pass goes to; 0: none has begun")
    root = models.BinaryField(max_length=32, default=b"")
    began_at = models.DateTimeField(null=True, blank=True)
    wrong = models.PositiveIntegerField(default=0, help_text="found in this pass")
    failures = models.JSONField(default=list, help_text="at most 100 of them")
    looked_at = models.DateTimeField(null=True, blank=True)
    passed_at = models.DateTimeField(null=True, blank=True)
    passed_size = models.BigIntegerField(default=0)
    passed_wrong = models.PositiveIntegerField(default=0, help_text="found in the last whole pass")
    passed_failures = models.JSONField(default=list)
    asked_at = models.DateTimeField(null=True, blank=True, help_text="somebody waits for this pass")
    asked_by = models.CharField(max_length=150, blank=True)

    def __str__(self) -> str:
        return f"{self.next_index:,} of {self.size:,} entries"

    @property
    def is_wrong(self) -> bool:
        return bool(self.wrong or self.passed_wrong)

    @property
    def standing(self) -> list[dict]:
        """What is wrong: what this pass has found, or else the last whole one."""
        return self.failures or self.passed_failures
