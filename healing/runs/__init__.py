"""Runs: `starting` releases and claims, `runner` does the steps (`rolling`: over many targets), `held` is what it stands on,
`undoing` undoes, `ending` writes the outcome, `watchdog` looks after the rest."""

from .ending import abort

__all__ = ["abort"]
