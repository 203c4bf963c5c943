"""What is declared: services and their targets, the map from alerts, playbooks, commands. Files and API in, rows out.

`sync` reads services.yaml, commands.yaml and the playbooks, all or nothing; `upsert_service` is the API's way in. Every change
has its log entry, and nothing is written where nothing changed.
"""

from .places import allowed_origins, commands, place_of, places_by_ssh, places_in, places_of, queries, signals
from .playbooks import document_of, rehearsed
from .services import remove_service, service_document, upsert_service
from .syncing import SyncReport, Tally, sync

__all__ = [
    "SyncReport",
    "Tally",
    "allowed_origins",
    "commands",
    "document_of",
    "place_of",
    "places_by_ssh",
    "places_in",
    "places_of",
    "queries",
    "rehearsed",
    "remove_service",
    "service_document",
    "signals",
    "sync",
    "upsert_service",
]
