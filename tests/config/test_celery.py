from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import Task

from config.celery import app
from healing import tasks


def test_a_task_is_sent_by_our_app_from_any_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        sender = pool.submit(lambda: tasks.look.app.main).result()
    assert sender == app.main == "selfheal"


@pytest.mark.parametrize("task", [tasks.execute_run, tasks.put_back], ids=["execute_run", "put_back"])
def test_what_may_take_long_is_not_interrupted_by_the_soft_limit_of_the_others(task: Task) -> None:
    assert task.soft_time_limit == task.time_limit  # None would not be without one: Celery falls back to the worker's
    assert task.soft_time_limit > app.conf.task_soft_time_limit
