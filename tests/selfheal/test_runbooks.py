"""The table that leads to what to do."""

from __future__ import annotations

import pytest

from selfheal.runbooks import SECTIONS, address, section


@pytest.mark.parametrize(
    ("what", "anchor"),
    [
        ("database", "database"),
        ("worker runs", "processes"),
        ("pool edge-1", "runner-pools"),
        ("poolside", ""),
        ("run.failed", "runs-fail"),
    ],
)
def test_a_thing_leads_to_its_section_by_its_name_or_its_beginning(what: str, anchor: str) -> None:
    assert section(what) == anchor


def test_an_address_is_a_link_where_the_pages_are_served_and_a_file_where_not() -> None:
    assert address("broker", "https://docs.example/heal/") == "https://docs.example/heal/how-to/when-it-is-down/#broker"
    assert address("broker", "") == "docs/how-to/when-it-is-down.md#broker"
    assert address("no such thing", "https://docs.example") == ""


def test_nothing_leads_to_two_sections() -> None:
    names = [name for each in SECTIONS.values() for name in each]
    assert len(names) == len(set(names))
