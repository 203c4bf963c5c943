"""`up` and the processes that it is made of, each by itself."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Annotated

import typer

from config.cli.base import Failed, ready


def up() -> None:
    """Run web, workers, beat, sequencer and, unless CELERY_BROKER_URL names one, a broker. Ctrl-C or TERM ends all of them."""
    gc.disable()  # nothing that loading makes is garbage; looking for it costs a tenth of the start. On again before the fork
    ready()
    from config.up import CannotStart
    from config.up import up as run

    _or_fail(run, CannotStart)


def migrate() -> None:
    """Migrate, set up roles and guards, read services.yaml and the playbooks, make the first admin. `up` does all of this."""
    ready()
    from config.up import CannotStart, prepare, say

    _or_fail(lambda: say("the database is up to date", *prepare()), CannotStart)


def web() -> None:
    """Serve on SELF_HEAL_LISTEN and SELF_HEAL_PORT until TERM."""
    ready()
    from config import settings_log
    from config.web import run

    settings_log.note("web")
    run()


def worker(
    queue: Annotated[str, typer.Argument(help="control (short tasks), runs (playbooks) or advice (advisers)")] = "",
    pool: Annotated[str, typer.Option(help="run the playbooks of the services that name this pool, and no others")] = "",
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="processes; default 2, for runs as many as may run at once")
    ] = None,
) -> None:
    """Work on one queue until TERM; what runs is finished first."""
    ready()
    from config import settings_log
    from config.worker import QUEUES, run
    from healing import pools

    if pool and queue in ("", pools.RUNS):
        queue = pools.queue(pool)
    elif queue not in QUEUES or pool:
        raise typer.BadParameter(f"there is no queue {queue!r}; say {', '.join(QUEUES)}, or --pool NAME alone")
    settings_log.note(f"worker {queue}")
    raise typer.Exit(run(queue, concurrency))


def beat() -> None:
    """Send what is due by the clock until TERM. Any number may run."""
    ready()
    from config.beat import run
    from config.process import stop_on_signals

    run(stop_on_signals())


def sequencer() -> None:
    """Order and sign the log until TERM. The only process that reads the signing key; one works, others wait."""
    ready()
    from config.up import run_sequencer

    run_sequencer()


def _or_fail(run: Callable[[], None], error: type[Exception]) -> None:
    try:
        run()
    except error as reason:
        raise Failed(str(reason)) from None
