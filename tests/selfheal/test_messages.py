"""Messages: what came from outside mentions nobody and links nowhere, and no credential is in them."""

from __future__ import annotations

import pytest

from selfheal.messages import EVENTS, MAX_TITLE, Facts, harmless, masked, message, together

FACTS = Facts(
    "Restart: web / web-01", "web", "web-01", "high", "high impact needs a person", "approved by ann", "13:00 UTC", "https://h/x"
)


def test_a_message_says_what_where_how_much_why_who_and_until_when() -> None:
    said = message("approval.requested", FACTS)
    assert said.title == "Approval wanted [high]: Restart: web / web-01"
    assert said.body.splitlines() == [
        "- Service: web / web-01",
        "- Impact: high",
        "- Why: high impact needs a person",
        "- Who: approved by ann",
        "- Until: 13:00 UTC",
        "",
        "<https://h/x>",
    ]
    assert said.data["link"] == "https://h/x"
    assert said.data["impact"] == "high"


def test_what_is_not_known_is_left_out() -> None:
    assert message("storm.over", Facts("44 % of 50 services")).body == ""


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_makes_a_title_that_fits(event: str) -> None:
    assert 0 < len(message(event, Facts("x" * 9_000)).title) <= MAX_TITLE


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("down @channel <!here> <@U123|bob>", "down @\u200bchannel ‹!here› ‹@\u200bU123|bob›"),
        ("[click](https://evil.example)", "[click] (https:\u200b//evil.example)"),
        ("one\r\nSubject: two\tthree\x00\x1b[31m", "one Subject: two three [31m"),
        ("abc\u202edcba\u2028x", "abc dcba x"),
        ("x" * 600, "x" * 499 + "…"),
    ],
)
def test_text_from_outside_is_one_harmless_line(text: str, shown: str) -> None:
    assert harmless(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "token=PLANTEDPLANTED1",
        "DB_PASSWORD: 'PLANTEDPLANTED1'",
        'api_key = "PLANTEDPLANTED1"',
        "Authorization: Bearer PLANTEDPLANTED1",
        "postgres://heal:PLANTEDPLANTED1@db/heal",
        "sh_PLANTEDPLANTED1PLANTEDPLANTED1",
        "whsec_PLANTEDPLANTED1PLANTEDPLANTED1",
        "xoxb-PLANTEDPLANTED1",
        "-----BEGIN RSA PRIVATE KEY-----\nPLANTEDPLANTED1\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str) -> None:
    assert "PLANTEDPLANTED1" not in masked(f"failed: {text} and more")
    assert masked(f"failed: {text} and more").startswith("failed: ")


def test_known_secrets_are_masked_the_longer_one_first() -> None:
    assert masked("it was hunter22-more and hunter22", ["hunter22", "hunter22-more"]) == "it was *** and ***"


def test_a_credential_that_a_cut_would_halve_is_masked_before_it_is_cut() -> None:
    assert "sesame" not in harmless("x" * 490 + " open-sesame-open", ["open-sesame-open"])


def test_a_storm_is_one_message_that_lists_ten_and_counts_the_rest() -> None:
    title, body = together([(f"title {n}", f"body {n}") for n in range(25)], "https://h/all")
    assert title == "25 messages, the first: title 0"
    assert body.count("body ") == 10
    assert body.endswith("and 15 more: <https://h/all>")


def test_one_message_stays_as_it_is() -> None:
    assert together([("title", "body")], "https://h/all") == ("title", "body")
