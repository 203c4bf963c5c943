"""Decides where to look and how tight to be. Nothing is built yet: healing runs at its guardrail level without it."""
