"""Signals: numbers in, states of health out.

Rules that this package keeps:
1. A body that was answered is stored: samples, states, log entry, and the alerts that follow, in one transaction.
2. A sample is no state: the log tells of changes of state alone, all of a body in one entry.
3. A signal that becomes degraded or critical fires an alert of its own (source `signal`); that it is healthy again ends it.
   What was not measured lately is `unknown`: its alert goes on, and nothing is proposed for it until a sample says more.
4. Nothing here costs in proportion to history: samples are pruned, and so are signals that nobody sends any more.

`receiving` samples in · `pulling` asks Prometheus · `sensing` asks the adapters of domains · `keeping` what went quiet, what is
too old · `health` of services · `samples` for checks.
"""
