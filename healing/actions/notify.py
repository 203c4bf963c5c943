"""`notify`: tell people, by the channels that were declared, or SELF_HEAL_NOTIFY_URLS where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from healing.parameters import Strict, Text, frozen, one_line, validated
from healing.result import Result
from selfheal.places import Place
from selfheal.states import Impact

from .base import Context, Lasting


class Parameters(Strict):
    title: Annotated[Text, Field(min_length=1, max_length=250)]
    body: Annotated[Text, Field(min_length=1)]


class Notify(Lasting):
    """Tell people, by the channels that were declared, or SELF_HEAL_NOTIFY_URLS where there is none."""

    name, impact = "notify", Impact.LOW
    Parameters = Parameters

    def freeze(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        return frozen(validated(Parameters, given))

    def idempotent(self, arguments: Mapping[str, Any]) -> bool:
        return False  # nobody is woken twice

    def targets(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        return ("whoever hears the channels of the service",)

    def dry_run(self, arguments: Mapping[str, Any]) -> str:
        return f"tell people: {one_line(validated(Parameters, arguments).title)}"

    def run(self, arguments: Mapping[str, Any], context: Context) -> Result:
        import apprise  # half a second, and needed here only

        message = validated(Parameters, arguments)
        if not context.notify_urls:
            return Result(False, "nobody was told: declare a channel that hears playbook.message, or set SELF_HEAL_NOTIFY_URLS")
        told = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False))
        for url in context.notify_urls:
            if not told.add(context.address(url)):  # masked: it holds the token of the service
                return Result(False, "an address of a channel is none that apprise knows: see its list of services")
        # Each by itself: apprise's own pool of threads, if the worker had one before it forked, would hang here.
        failed = sum(not one.notify(title=message.title, body=message.body) for one in told)
        count = len(context.notify_urls)
        return Result(not failed, "not all could be told; the output says why" if failed else f"told {count} of {count}")
