"""What was learnt: on this machine, but for the shadow score, which is asked of the server where SELF_HEAL_TOKEN is set."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from config.cli.base import Json, print_done, print_facts, print_json, print_table, ready
from config.cli.client import connect

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
def shadow(
    playbook: Annotated[str, typer.Argument(help="its name")],
    limit: Annotated[int, typer.Option(min=1, max=200, help="incidents that are listed")] = 20,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Say what would have come of a playbook where services are only observed."""
    found = connect().get(f"/api/self_heal/playbooks/{quote(playbook, safe='')}/shadow")
    if as_json:
        print_json(found)
        return
    print_facts([(name.replace("_", " "), count) for name, count in found["counts"].items()])
    print_facts([("going on", found["going_on"] or None)])
    print()
    rows = [[each["judgement"] or "going on", each["course"]["service"], each["why"]] for each in found["courses"][:limit]]
    print_table(("judgement", "service", "why"), rows, "it would not have run yet on a service that is only observed")


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
