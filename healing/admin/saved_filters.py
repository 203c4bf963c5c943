"""Lists as somebody likes to see them: a query under a name, one's own, a click away above the list.

A filter belongs to the list on whose page it was saved, so it can lead nowhere else.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, QueryDict
from django.urls import URLPattern, path, reverse

from healing.admin import live
from healing.admin.base import PageAdmin
from healing.models import SavedFilter, User

MOST = 20  # for each person and list
LONGEST = 1000
_NOT_KEPT = ("p", "e")  # the page of the list, and the mark of a query that was wrong


class FilterForm(forms.Form):
    name = forms.CharField(max_length=60, label="Name", widget=forms.TextInput(attrs={"autocomplete": "off"}))
    query = forms.CharField(max_length=LONGEST, widget=forms.HiddenInput)


class FilteredAdmin(PageAdmin):
    """A list that remembers how somebody likes to see it."""

    list_before_template = "admin/healing/saved_filters.html"

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        save, remove = self.admin_site.admin_view(self.save_filter), self.admin_site.admin_view(self.remove_filter)
        ours = [
            path("filters/", save, name=f"{name}_save_filter"),
            path("filters/<uuid:filter_id>/remove/", remove, name=f"{name}_remove_filter"),
        ]
        return [*ours, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        more = {} if live.asked(request) else self.filters_of(request)
        return super().changelist_view(request, {**more, **(extra_context or {})})

    @property
    def list_address(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def filters_of(self, request: HttpRequest) -> dict[str, Any]:
        """What `saved_filters.html` needs."""
        mine = SavedFilter.objects.filter(user=request.user.pk, page=self.list_address)
        present = kept(request.GET)
        saved = [(row, row.query == present) for row in mine]
        narrowed = bool(set(request.GET) - {"status", *_NOT_KEPT})  # a status alone is a tab already
        can_save = narrowed and len(present) <= LONGEST and not any(chosen for _, chosen in saved)
        form = FilterForm(initial={"query": present}, label_suffix="", auto_id="filter-%s") if can_save else None
        return {"saved_filters": saved, "filter_form": form, "list_address": self.list_address}

    def save_filter(self, request: HttpRequest) -> HttpResponse:
        self._check(request)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        form = FilterForm(request.POST)
        if not form.is_valid():
            problems = [f"{name}: {' '.join(map(str, said))}" for name, said in form.errors.items()]
            messages.error(request, f"The filter is not saved. {' '.join(problems)}")
            return HttpResponseRedirect(self.list_address)
        user: User = request.user  # type: ignore[assignment]
        name, query = form.cleaned_data["name"], kept(QueryDict(form.cleaned_data["query"]))
        mine = SavedFilter.objects.filter(user=user, page=self.list_address)
        if mine.exclude(name=name).count() >= MOST:
            messages.error(request, f"You have {MOST} filters on this list, and that is the limit: remove one first.")
        else:
            SavedFilter.objects.update_or_create(user=user, page=self.list_address, name=name, defaults={"query": query})
            messages.success(request, f"Saved as {name}.")
        return HttpResponseRedirect(f"{self.list_address}?{query}")

    def remove_filter(self, request: HttpRequest, filter_id: UUID) -> HttpResponse:
        self._check(request)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        SavedFilter.objects.filter(pk=filter_id, user=request.user.pk).delete()
        return HttpResponseRedirect(self.list_address)

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def kept(query: QueryDict) -> str:
    """The query of a list in one form, without what belongs to a single look."""
    pairs = sorted((name, value) for name, values in query.lists() if name not in _NOT_KEPT for value in values if value)
    ordered = QueryDict(mutable=True)
    for name, value in pairs:
        ordered.appendlist(name, value)
    return ordered.urlencode()
