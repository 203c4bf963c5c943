"""Decides where to look and how tight to be. Healing runs at its guardrail level `maintain` without it."""
