"""From an alert to what is learnt of it."""

from __future__ import annotations

import signal
from collections.abc import Callable

from django.utils import timezone

from healing.ledger import keys
from healing.ledger.sequencer import sequence_once
from healing.models import Run
from learning.aggregates import learning
from learning.follow import follow
from learning.models import Lesson

from .conftest import House


def test_a_service_that_came_back_is_a_success_of_its_playbook(house: House, work: Callable[..., Run]) -> None:
    shop = house.service("shop")
    shop.signal(signal.SIGKILL)
    assert shop.child
    shop.child.wait()
    run = work(house.propose("InstanceDown", "shop"))
    sequence_once(keys.load(), timezone.now())
    assert follow() > 0
    assert list(Lesson.objects.order_by("index").values_list("status", flat=True)) == ["proposed", "auto_approved", "succeeded"]
    said = learning("24h", timezone.now())
    assert (said["total_runs"], said["overall_success_rate"]) == (1, 1.0)
    (row,) = said["by_playbook"]
    assert row["playbook"] == run.playbook.name
    assert row["mttr_seconds_p50"] > 0
