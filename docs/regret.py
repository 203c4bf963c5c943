"""Draw docs/images/regret.svg from the simulation: `python docs/regret.py`, or `--check` to see whether it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from selfheal.regret import RUNS, WAYS, play  # noqa: E402

PATH = ROOT / "docs" / "images" / "regret.svg"
SEED, EVERY = 1, 50
WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 60, 150, 40, 50
FONT = 'font-family="sans-serif" font-size="13"'
COLOURS = {"sampling": "#0f766e", "greedy": "#b45309", "fixed order": "#1d4ed8", "always the first": "#6b7280"}


def drawn() -> str:
    """The plot as SVG: regret summed up over the runs, a line for each way, its end named."""
    courses = {name: play(way(), SEED).regret for name, way in WAYS.items()}
    top = 200 * (1 + int(max(course[-1] for course in courses.values()) // 200))
    said = "; ".join(f"{name}: {course[-1]:.0f}" for name, course in courses.items())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {FONT}>',
        f"<title>Regret over {RUNS:,} runs</title><desc>After {RUNS:,} runs: {said}.</desc>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-weight="bold">Runs lost against the best playbook of the time, summed up</text>',
        *_axes(top),
        *(line for name, course in courses.items() for line in _line(name, course, top)),
        *_names({name: course[-1] for name, course in courses.items()}, top),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _axes(top: int) -> list[str]:
    parts = []
    for value in range(0, top + 1, 200):
        y = _y(value, top)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.0f}" y2="{y:.0f}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end" fill="#374151">{value:,}</text>')
    for run in range(0, RUNS + 1, 1000):
        parts.append(f'<text x="{_x(run):.0f}" y="{HEIGHT - 28}" text-anchor="middle" fill="#374151">{run:,}</text>')
    middle = _x(RUNS // 2)
    parts.append(
        f'<line x1="{middle:.0f}" x2="{middle:.0f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#9ca3af" stroke-dasharray="4 4"/>'
    )
    parts.append(f'<text x="{middle + 6:.0f}" y="{TOP + 12}" fill="#374151">the rates change</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle" fill="#374151">runs</text>')
    return parts


def _line(name: str, course: Sequence[float], top: int) -> list[str]:
    dashed = ' stroke-dasharray="6 6"' if name == "always the first" else ""  # what lies below it is seen
    points = " ".join(f"{_x(run + 1):.1f},{_y(course[run], top):.1f}" for run in range(EVERY - 1, len(course), EVERY))
    return [f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"{dashed}/>']


def _names(ends: dict[str, float], top: int) -> list[str]:
    """At the ends of the lines, none over another."""
    parts, lowest = [], float("inf")
    for name in sorted(ends, key=ends.__getitem__):
        y = min(_y(ends[name], top) + 4, lowest - 15)
        parts.append(f'<text x="{WIDTH - RIGHT + 6}" y="{y:.0f}" fill="{COLOURS[name]}">{name}: {ends[name]:,.0f}</text>')
        lowest = y
    return parts


def _x(run: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * run / RUNS


def _y(value: float, top: int) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def main(check: bool) -> int:
    text = drawn()
    if PATH.exists() and PATH.read_text() == text:
        return 0
    sys.stdout.write(f"{'stale' if check else 'written'}: docs/images/{PATH.name}\n")
    if not check:
        PATH.write_text(text)
    return int(check)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
