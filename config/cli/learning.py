"""What was learnt, on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from config.cli.base import Json, print_done, print_json, print_table, ready

app = typer.Typer()


@app.command()
def evaluate(
    seed: Annotated[int, typer.Option(help="of the draws")] = 0,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Replay the recorded runs: how the ranker would have chosen, against a fixed order and the best in hindsight.

    A choice is judged where it was the playbook that really ran; `matched` says how often that was.
    """
    ready()
    from learning.ranker import history
    from selfheal.ranking import evaluate as judge

    recorded = history()
    found = judge(recorded, seed)
    best = next(each.rate for each in found if each.way == "hindsight")
    rows = [
        {
            "way": each.way,
            "matched": each.matched,
            "succeeded": each.succeeded,
            "success_rate": each.rate,
            "regret": None if each.rate is None or best is None else best - each.rate,
        }
        for each in found
    ]
    if as_json:
        print_json({"runs": len(recorded), "ways": rows})
        return
    shown = [
        [row["way"], row["matched"], row["succeeded"], _percent(row["success_rate"]), _percent(row["regret"])]
        for row in rows
        if recorded
    ]
    print_table(("way", "matched", "succeeded", "success rate", "regret a run"), shown, "no run has ended yet")


@app.command()
def rebuild(as_json: Annotated[bool, Json] = False) -> None:
    """Forget what was learnt and read the log again from entry 0."""
    ready()
    from learning.follow import again
    from learning.models import Cursor

    again()
    read = Cursor.objects.values_list("next_index", flat=True).first() or 0
    print_done({"entries": read}, f"{read:,} entries read", as_json)


def _percent(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, float) else "–"
