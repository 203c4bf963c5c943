"""Texts of playbooks that the tests start from."""

CONTRACT = """\
playbook: restart-unit              # a change makes a new immutable version
title: Restart a service that is down
domain: host
diagnoses: [service_down]
impact: low
reversible: false                   # a declaration, shown to the approver; autonomy looks at impact
targets: incident                   # default; service (needs batch) | none
parameters:
  unit: {type: string, pattern: "^[a-z][a-z0-9@_.-]{0,62}$", from: service.labels.unit}
gather: {}                          # read-only steps before the decision
when: "incident.severity != 'low'"  # CEL over incident, service, target, params, gather
symptom: []                         # must fail now, or superseded (default: verify must fail now)
timeout: 10m
steps:
  - {id: restart, action: process.restart, with: {unit: "${params.unit}"},
     timeout: 60s, retries: {max: 1, delay: 2s}, rollback: none}
verify:
  - {check: http_health, url: "${target.url}/healthz", expect: {status: 200}, within: 60s, every: 2s}
"""

SHORT = """\
playbook: short
title: Short
domain: host
diagnoses: [service_down]
impact: low
"""


def with_step(step: str, more: str = "") -> str:
    return f"{SHORT}{more}steps:\n  - {step}\n"
