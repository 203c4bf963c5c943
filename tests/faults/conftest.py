from tests.flows.conftest import house, sent, sequencer, work

__all__ = ["house", "sent", "sequencer", "work"]
