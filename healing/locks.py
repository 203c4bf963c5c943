"""The one order in which rows are locked: service (only a proposal does), incident, run, approval request. Whoever needs two of
them comes through here first.

`no_key`: a line of a timeline that refers to the row does not wait for us.
"""

from __future__ import annotations

import uuid

from healing.models import Incident, Run, Service


def lock_run(run_id: uuid.UUID) -> Run:
    """Lock the run and, before it, its incident; returns the run as it is now. Raises Run.DoesNotExist."""
    incident_id = Run.objects.values_list("incident_id", flat=True).get(pk=run_id)
    if incident_id:
        lock_incident(incident_id)
    rows = Run.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("service", "incident__service", "playbook").get(pk=run_id)


def lock_incident(incident_id: uuid.UUID) -> Incident:
    return Incident.objects.select_for_update(of=("self",), no_key=True).select_related("service").get(pk=incident_id)


def lock_service(service_id: uuid.UUID) -> None:
    """Two proposals for one service come one after the other, so that its rate is counted right."""
    Service.objects.select_for_update(no_key=True).only("pk").get(pk=service_id)
