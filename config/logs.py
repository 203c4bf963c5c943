"""One line for each thing that is logged, to standard error.

Rules that this module keeps:
1. A message is one line: control characters are escaped, so what comes from outside cannot forge a line or move a cursor.
2. A traceback follows its line, indented: no line of it can pass for a line of the log. As JSON it is a member of the object.
3. A line says which run and incident it is about, where it is about one.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from healing.log_context import current

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def escape(text: str) -> str:
    """`text` with every control character written as \\xNN or \\uNNNN."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class OneLine(logging.Formatter):
    """`2026-11-24T18:40:01.123Z INFO config.supervisor[4711] message`."""

    def format(self, record: logging.LogRecord) -> str:
        about = "".join(f" {name}={value}" for name, value in current().items())
        line = f"{_at(record)} {record.levelname} {record.name}[{record.process}] {escape(record.getMessage())}{about}"
        for block in (record.exc_info and self.formatException(record.exc_info), record.stack_info):
            if block:
                line += "".join(f"\n    {escape(part)}" for part in block.split("\n"))
        return line


class JsonLine(logging.Formatter):
    """One object a line: {at, level, logger, pid, message} and, where there are, {run, incident, error, stack}."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
            **current(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line)


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


FORMATS = {"text": OneLine, "json": JsonLine}


class NotProbes(logging.Filter):
    """Leaves out what Django says of a probe that was answered with 503: the answer is all there is to say."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(getattr(record, "request", None), "path", "") not in ("/healthz", "/readyz")


class Outage(logging.Filter):
    """A task that failed because the database is away is one line: its traceback says nothing more, every few seconds."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        if kind and kind.__module__ == "django.db.utils" and kind.__name__ in ("OperationalError", "InterfaceError"):
            record.exc_info = None
        return True


def logging_config(level: str, form: str = "text") -> dict[str, Any]:
    """Django's LOGGING in one of FORMATS: ours from `level` on, what we build on from WARNING on."""
    quiet = ("amqp", "apprise", "axes", "celery", "django", "gunicorn", "kombu", "redis", "requests", "urllib3")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": FORMATS[form]}},
        "filters": {"not_probes": {"()": "config.logs.NotProbes"}, "outage": {"()": "config.logs.Outage"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {name: {"level": "WARNING"} for name in quiet}
        | {
            "celery.app.trace": {"filters": ["outage"]},
            "django.request": {"filters": ["not_probes"]},
            "django.server": {"handlers": [], "propagate": True},
        },
    }
