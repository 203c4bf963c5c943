"""What the OpenAPI document says besides what the views say of themselves."""

from __future__ import annotations

from typing import Any

import msgspec
from drf_spectacular.extensions import OpenApiAuthenticationExtension

from healing.api.idempotency import REPLAYED
from healing.idempotency import HEADER, MAX_KEY
from selfheal.alerts import GrafanaAlert, PlainAlert, WebhookAlert
from selfheal.cloudevents import BATCH, STRUCTURED, CloudEvent, EventData

PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "the part of the input that is wrong, as a dotted path"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"field": {"type": "string"}, "reason": {"type": "string"}}},
        },
    },
}
_REJECTED = {"index": {"type": "integer"}, "field": {"type": "string"}, "reason": {"type": "string"}}
ACCEPTED = {
    "type": "object",
    "required": ["accepted", "deduplicated", "unmatched", "rejected", "incidents"],
    "properties": {
        "accepted": {"type": "integer", "description": "alerts that were new, or changed something"},
        "deduplicated": {"type": "integer", "description": "alerts that were known as they are"},
        "unmatched": {"type": "integer", "description": "alerts that match no service; see alerts/unmatched"},
        "rejected": {"type": "array", "items": {"type": "object", "properties": _REJECTED}},
        "incidents": {"type": "array", "items": {"type": "string", "format": "uuid"}},
    },
}


KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": (
        "Names this write, so that sending it again does nothing and gives the first answer again, for 24 hours and with "
        "`Idempotency-Replayed: true`. A key belongs to its user. For another request it is a 422; while the first call is still "
        "being worked on, a 409 with `Retry-After`. Answers of 500 and above, 429 and 415 are not kept."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[ -~]+$"},
}
REPLAY = {"description": "`true` when this is the answer of an earlier call with the same key", "schema": {"type": "string"}}


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = "healing.api.auth.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "healing.api.auth.BrowserSession"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "for reading only"}


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add the intake, which is no view of the framework, and the answer that every error has."""
    components = result.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas |= {"Problem": PROBLEM, "AlertsAccepted": ACCEPTED, **_structs()}
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    components.setdefault("responses", {})["Problem"] = {"description": "an error", "content": content}
    components.setdefault("parameters", {})["IdempotencyKey"] = KEY
    _tell_of_replays(result["paths"], components)
    one, webhook = ({"$ref": f"#/components/schemas/{name}"} for name in ("PlainAlert", "AlertmanagerBody"))
    many = {"oneOf": [one, {"type": "array", "items": one}]}
    paths = result["paths"]
    paths["/api/self_heal/alerts/alertmanager"] = {
        "post": _intake("alerts_alertmanager", "A webhook of Alertmanager, version 4.", webhook)
    }
    paths["/api/self_heal/alerts"] = {"post": _intake("alerts_receive", "One plain alert, or an array of them.", many)}
    grafana = {"$ref": "#/components/schemas/GrafanaBody"}
    paths["/api/self_heal/alerts/grafana"] = {
        "post": _intake("alerts_grafana", "A webhook of Grafana's unified alerting.", grafana)
    }
    paths["/api/self_heal/alerts/cloudevents"] = {"post": _cloudevents()}
    samples = paths["/api/self_heal/signals"]["post"]["requestBody"]["content"]["application/json"]
    samples["schema"] = {"oneOf": [samples["schema"]["items"], samples["schema"]]}
    for operations in paths.values():
        for method, operation in operations.items():
            if method != "get":
                operation["security"] = [{"bearer": []}]
                operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IdempotencyKey"})
            operation["responses"].setdefault("default", {"$ref": "#/components/responses/Problem"})
    result["paths"] = dict(sorted(paths.items()))
    return result


def _tell_of_replays(paths: dict[str, Any], components: dict[str, Any]) -> None:
    components.setdefault("headers", {})[REPLAYED] = REPLAY
    for operations in paths.values():
        for method, operation in operations.items():
            for answer in operation["responses"].values() if method != "get" else ():
                answer["headers"] = {REPLAYED: {"$ref": f"#/components/headers/{REPLAYED}"}}


def _structs() -> dict[str, Any]:
    kinds = [WebhookAlert, GrafanaAlert, PlainAlert, CloudEvent, EventData]
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    found["AlertmanagerBody"], found["GrafanaBody"] = _group("WebhookAlert"), _group("GrafanaAlert")
    found["CloudEvent"]["properties"]["data"] = {"$ref": "#/components/schemas/EventData"}
    return found


def _group(alert: str) -> dict[str, Any]:
    alerts = {"type": "array", "items": {"$ref": f"#/components/schemas/{alert}"}}
    return {
        "type": "object",
        "required": ["alerts"],
        "properties": {"alerts": alerts, "receiver": {"type": "string"}, "truncatedAlerts": {"type": "integer", "minimum": 0}},
    }


def _cloudevents() -> dict[str, Any]:
    summary = (
        "CloudEvents 1.0 whose data is a plain alert: one, structured; a batch; or binary, with `ce-…` headers and the data "
        "as the body. The same event again changes nothing."
    )
    event, data = ({"$ref": f"#/components/schemas/{name}"} for name in ("CloudEvent", "EventData"))
    operation = _intake("alerts_cloudevents", summary, data)
    operation["requestBody"]["content"] |= {
        STRUCTURED: {"schema": event},
        BATCH: {"schema": {"type": "array", "items": event}},
    }
    return operation


def _intake(operation_id: str, summary: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = {"schema": {"$ref": "#/components/schemas/AlertsAccepted"}}
    return {
        "operationId": operation_id,
        "description": (
            f"{summary} Needs the scope `ingest`; one bad alert never blocks the others. Idempotent by what it says: an "
            f"alert that is known as it is counts as `deduplicated`."
        ),
        "tags": ["alerts"],
        "security": [{"bearer": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"202": {"description": "stored", "content": {"application/json": answer}}},
    }
