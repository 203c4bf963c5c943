"""Proposing a playbook for an incident by hand: choose one that fits, see what it would do and what policy says, then propose it.

What is shown first is a dry run with the very values that the button then sends: it reads, and touches nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from healing import catalog
from healing.governance import world
from healing.models import Incident, Playbook
from healing.proposals import decide, decision_json, plan_for, refused_plan
from selfheal.errors import Invalid, NotApplicable
from selfheal.playbooks.model import Parameter
from selfheal.states import Trigger

PREFIX = "p-"  # of the fields that hold parameters


def fitting(incident: Incident) -> list[Playbook]:
    """The active playbooks for this diagnosis, by name."""
    return [row for row in Playbook.objects.filter(active=True).order_by("name") if incident.diagnosis in row.diagnoses]


def given(playbook: Playbook, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a form holds, typed as the playbook declares them; an empty field gives none."""
    parameters = catalog.document_of(playbook).parameters
    texts = {name: str(fields.get(f"{PREFIX}{name}", "")).strip() for name in parameters}
    return {name: _typed(text, parameters[name].type) for name, text in texts.items() if text}


def fields_of(playbook: Playbook, said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each parameter with what was typed, its bounds, and where its value comes from when nothing is.

    `choices` is there where the value is one of a few, `kind`, `min` and `max` are those of an input element.
    """
    return [
        {
            "name": name,
            "field": f"{PREFIX}{name}",
            "value": said.get(f"{PREFIX}{name}", ""),
            "help": f"{bounds(parameter)}; {_source(parameter)}",
            **_input(parameter),
        }
        for name, parameter in catalog.document_of(playbook).parameters.items()
    ]


def dry_run(
    incident: Incident, playbook: Playbook, parameters: Mapping[str, Any], at: datetime, trigger: Trigger = Trigger.OPERATOR
) -> dict[str, Any]:
    """{plan, decision}; {problem} where there is no plan, with the decision where policy is what refuses it."""
    try:
        plan = plan_for(incident, playbook, parameters)
    except NotApplicable as error:
        return {"problem": str(error)}
    except Invalid as error:
        refused = refused_plan(incident, playbook, parameters)
        decision = decide(incident, refused, trigger, world(at), at, problems=(str(error),))
        return {"problem": str(error), "decision": decision_json(decision)}
    return {"plan": plan, "decision": decision_json(decide(incident, plan, trigger, world(at), at))}


def bounds(parameter: Parameter) -> str:
    """`text like ^[a-z]+$`, `whole number, 1 to 10`, `duration, at most 2h`, `one of DEBUG, INFO`."""
    if parameter.enum:
        return f"one of {', '.join(map(str, parameter.enum))}"
    if parameter.type == "string":
        return f"text like {parameter.pattern}" if parameter.pattern else f"text of at most {parameter.max_length:,} characters"
    kind = {"integer": "whole number", "boolean": "true or false"}.get(parameter.type, parameter.type)
    low, high = parameter.min, parameter.max
    if low is not None and high is not None:
        return f"{kind}, {low} to {high}"
    return f"{kind}, at least {low}" if low is not None else f"{kind}, at most {high}" if high is not None else kind


def _input(parameter: Parameter) -> dict[str, Any]:
    if parameter.enum:
        return {"choices": [str(value) for value in parameter.enum]}
    if parameter.type == "boolean":
        return {"choices": ["true", "false"]}
    if parameter.type == "integer":
        return {"kind": "number", "min": parameter.min, "max": parameter.max}
    return {"kind": "text"}


def _typed(text: str, kind: str) -> Any:
    if kind == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text  # the bounds of the parameter say what is wrong with it


def _source(parameter: Parameter) -> str:
    if parameter.source:
        return f"left empty it is {parameter.source}"
    if parameter.default is not None:
        return f"left empty it is {json.dumps(parameter.default)}"
    return "required"
