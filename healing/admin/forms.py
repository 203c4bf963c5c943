"""What the forms of our own pages share.

Rules that this module keeps:
1. A label is words, without a colon.
2. What a service refuses stands at its field, or in a message where no field is named or shown. What was typed is kept.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from healing.admin.base import ReadOnlyAdmin, address_of, sentence
from healing.models import Service
from selfheal.errors import Invalid


class PageForm(forms.Form):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{"label_suffix": "", **named})

    def offer(self, name: str, *choices: tuple[str, str]) -> None:
        """Choices that are known only now."""
        field: Any = self.fields[name]
        field.choices = choices


def reason_field(longest: int) -> forms.CharField:
    return forms.CharField(
        label="Reason (required)",
        max_length=longest,
        widget=forms.Textarea(attrs={"rows": 2, "maxlength": longest}),
        error_messages={"required": "Say why: a reason is required."},
    )


def services() -> list[tuple[str, str]]:
    """Those that are declared, to choose from."""
    return [(name, name) for name in Service.objects.filter(active=True).values_list("name", flat=True)]


def refused(request: HttpRequest, form: forms.Form, refusal: Exception) -> None:
    if isinstance(refusal, Invalid) and refusal.field in form.fields:
        form.add_error(refusal.field, sentence(refusal.message))
    else:
        messages.error(request, sentence(str(refusal)))


def form_page(
    room: ReadOnlyAdmin, request: HttpRequest, template: str, form: forms.Form, row: Model | None, new: str, **more: Any
) -> TemplateResponse:
    """The page with the form: for a row that there is, or, under the title `new`, for one that will be."""
    model = room.opts.model_name
    context = {
        **room.admin_site.each_context(request),
        "opts": room.opts,
        "original": row,
        "title": f"Change {row}" if row else new,
        "form": form,
        "back": address_of(row) if row else reverse(f"admin:{room.opts.app_label}_{model}_changelist"),
        **more,
    }
    return TemplateResponse(request, f"admin/healing/{template}.html", context)
