"""What the words of an alert's name say is wrong. Each line of a text is a pattern of whole words; the first found decides.

The order is part of the rules: what names the remedy (a certificate, a disk that breaks, a configuration) comes before what names
the effect, an effect that is over all (down) before one in part (errors), and a resource last, as its name is in many others'.
"""

from __future__ import annotations

import re

CLEAR = 0.85  # it means one thing in every product
GUESSED = 0.75

_ORDER: tuple[tuple[str, float, str], ...] = (
    (
        "certificate_expiry",
        GUESSED,
        r"""
        (?:certs?|certificates?|ssl|tls) (\w+ )*(expir\w*|expiry|renew\w*|not ready|invalid|revoked)
        expir\w* (\w+ )*(certs?|certificates?)
        """,
    ),
    ("service_down", GUESSED, "power off"),
    (
        "hardware_fault",
        GUESSED,
        r"""
        temperatures?|overheat\w*|too hot|thermal|cooling|fans?|voltage|battery|ups|psu|sensors?
        smart|raid|edac|ecc|sectors?|wear ?out|media errors?|unsynchronized blocks
        (power|drive|disk|memory|hardware) (supply|fault)
        """,
    ),
    (
        "misconfiguration",
        GUESSED,
        r"""
        (configs?|configuration) (\w+ )*(fail\w*|reload\w*|errors?|mismatch\w*|inconsistent|changed)
        (bad|invalid|inconsistent|no|wrong|missing) (\w+ )*(configs?|configuration)
        misconfigur\w*|failed reload|reload failed
        (service|app|application|resource) (not synced|out of sync)
        (generation|version) mismatch|rollout stuck|not rolled out|misscheduled
        suspended|(is|scheduling) disabled
        (too many|multiple) (masters|leaders|primaries|running)
        (clock|time|ntp) (\w+ )*(skew|drift|offset|not synch\w*)
        """,
    ),
    (
        "capacity_strain",
        GUESSED,
        r"""
        out of (\w+ )?(memory|disk|space|inodes|capacity|maxmemory)|oom\w*|memory leak|evicted
        gc|garbage|backlogs?
        (hpa|autoscaler) (scale|replicas|max\w*)
        """,
    ),
    (
        "latency_spike",
        GUESSED,
        r"""
        slow\w*|latency|lag|lagging|behind|durations?|delay(s|ed)?|(response|load) times?
        backpressure\w*|dead ?lock\w*|(threads?|process\w*) blocked
        (too|activation) long|waits?|stuck|not completed
        """,
    ),
    ("service_down", CLEAR, "down"),
    ("elevated_errors", GUESSED, "requests? unavailable|circuit ?breakers?"),
    (
        "service_down",
        GUESSED,
        r"""
        absent|offline|unavailable|unreachable|unhealthy|inactive|halted|sealed|disconnected|broken|lost|killed
        crash\w*|restart\w*|flapping|back ?off|(container|pod)s? waiting|out of service|outage|no traffic
        not (running|live|ready|healthy|available|alive|start\w+|connected|attached|responding)
        (no|missing|lost|insufficient|unassigned|too few) (\w+ )?(leader|master|nodes?|replicas?|members?|shards?|upstream)
        (no|missing|lost|insufficient|unassigned|too few) (\w+ )?(backends?|consumers?|connection|\w*managers?|records)
        (targets?|jobs?|heartbeats?|instances?|nodes?) missing|leader changes|(live|healthy) (\w+ )?nodes?
        health ?checks?|(unit|probe|service) failed|cluster (health|red|partition)
        replicas? mismatch|(members?|membership) (inconsistent|empty|degraded)
        """,
    ),
    (
        "elevated_errors",
        GUESSED,
        r"""
        errors?|errs?|fail\w*|rejected|drops?|dropped|dropping|refus\w*|denied|time ?outs?|timed out
        exceptions?|[45] xx|panics?|corrupt\w*|inconsistent|incomplete|rollbacks?|terminated|burn\w*
        retry|retries|eject\w*|miss\w*|skipped|stale|dead letter|has not|no (\w*ations?|uploads?)
        not (updated|synced|uploaded|\w+ing)
        """,
    ),
    (
        "capacity_strain",
        GUESSED,
        r"""
        memory|heap|swap|disks?|space|volumes?|filesystems?|storage|inodes|snapshots
        cpu|load|overload\w*|overcommit\w*|throttl\w*|context switch\w*|threads?
        connections?|sessions|in ?flight|bandwidth|throughput|file descriptors?|fds|cursors?|pool
        quota|limits?|full|filling|exhaust\w*|exceeded|usage|utili[sz]ation|used|pressure|saturat\w*|capacity|headroom
        pending|queued?|overflow\w*|blocked (tasks?|eval\w*)
        too many|too high|max|maxed|maximum|high|growing
        """,
    ),
)
WORDS: tuple[tuple[re.Pattern[str], str, float], ...] = tuple(
    (re.compile(r"\b(?:" + "|".join(line.strip() for line in text.strip().splitlines()) + r")\b"), name, confidence)
    for name, confidence, text in _ORDER
)
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def words_of(name: str) -> str:
    """In lower case with one blank between: `KubePodOOMKilled` is `kube pod oom killed`, `disk_space_low` is `disk space low`."""
    return " ".join(_WORD.findall(name)).lower()
