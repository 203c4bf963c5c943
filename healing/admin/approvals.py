"""The approval queue, and the page on which a person decides.

Rules that this module keeps:
1. An answer is a POST with a CSRF token, from a dialog, through `healing.approvals`; never a GET or a list edit. Several requests
   are answered at once only in the list, from a dialog that names them, and approved so only at low impact.
2. The page says what will run with its real values, from the frozen plan, and recommends nothing.
3. Text from alerts is text: escaped, never markup, never a link.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Count, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from healing import approvals
from healing.admin import labels, words
from healing.admin.base import Act, Comment, PageAdmin, Reason, sentence, session_of
from healing.admin.evidence import evidence, kept_from
from healing.admin.filters import StatusFilter
from healing.admin.saved_filters import FilteredAdmin, kept
from healing.models import ApprovalRequest, DomainApprover, Playbook, Run, Step, User
from selfheal.states import ApprovalStatus, Impact

CONFIGURE = "healing.configure"


def approve(request: HttpRequest, thing: ApprovalRequest, said: dict[str, Any], at: datetime) -> str:
    after = approvals.approve(thing.pk, request.user, said["comment"], session_of(request), at)  # type: ignore[arg-type]
    if after.status == ApprovalStatus.APPROVED:
        return {"step": "approved: the run goes on", "run": "approved: the run starts now"}.get(after.subject_type, "approved")
    return f"your approval counts: {after.votes.filter(approve=True).count()} of {after.needed} so far"


def reject(request: HttpRequest, thing: ApprovalRequest, said: dict[str, Any], at: datetime) -> str:
    after = approvals.reject(thing.pk, request.user, said["comment"], session_of(request), at)  # type: ignore[arg-type]
    if after.subject_type == "step":
        return "rejected: the run ends, what it did is left as it is, and the incident stays open"
    return "rejected: nothing runs, and the incident stays open" if after.subject_type == "run" else "rejected"


class Why(Reason):
    """A rejection that says why."""

    comment = forms.CharField(
        label="Why not? (required)",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3, "maxlength": 2000}),
        help_text="The next person on call reads it.",
        error_messages={"required": "Say why you reject it: the next person on call reads it."},
    )


class Answered(StatusFilter):
    """What still waits comes first; everything else is a click away."""

    default = ApprovalStatus.PENDING
    choices_of = ApprovalStatus


URGENCY = Case(
    *(When(impact=impact.value, then=Value(impact.rank)) for impact in Impact), default=Value(0), output_field=IntegerField()
)
LOW_ONLY = "Only what is of low impact is approved so; everything else on its own page, where one sees what will run."


@dataclass(frozen=True)
class Bulk:
    """One answer to all that is chosen in the list."""

    name: str
    question: str
    hint: str
    form: type[forms.Form]
    style: str


BULK = {
    bulk.name: bulk
    for bulk in (
        Bulk("reject", "Reject these requests?", "Nothing of them runs, and their incidents stay open.", Why, "danger"),
        Bulk("approve", "Approve these requests?", LOW_ONLY, Comment, "primary"),
    )
}


@admin.register(ApprovalRequest)
class ApprovalRequestAdmin(FilteredAdmin):
    page_template = "admin/healing/approval.html"
    plain_template = "admin/healing/approval_plain.html"  # of what is no run
    list_after_template = "admin/healing/bulk.html"
    live_seconds = 5
    ordering = (URGENCY.desc(),)
    list_display = ("what", "where", "impact_label", "status_label", "age", "expires", "votes_so_far", "who")
    list_filter = (Answered, "impact")
    search_fields = ("title", "service_name", "target_name", "requested_by")
    search_help_text = "Service, target, playbook title or who asked"
    empty_title = "Nothing waits for a decision"
    empty_hint = "When policy wants a person, the request stands here and this page shows it by itself."
    empty_next = (("Open incidents", "/admin/healing/incident/"), ("What was decided", "?status=all"))
    acts = (
        Act("reject", "Reject", approvals.PERMISSION, reject, "Reject this?", Why, "danger"),
        Act("approve", "Approve", approvals.PERMISSION, approve, "Approve this?", Comment, "primary"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApprovalRequest]:
        runs, steps = Run.objects.filter(pk=OuterRef("subject_id")), Step.objects.filter(pk=OuterRef("subject_id"))
        found = ApprovalRequest.objects.annotate(
            service_name=Coalesce(Subquery(runs.values("service__name")[:1]), Subquery(steps.values("run__service__name")[:1])),
            target_name=Coalesce(Subquery(runs.values("target")[:1]), Subquery(steps.values("target")[:1])),
            approvals=Count("votes", filter=Q(votes__approve=True)),
            urgency=URGENCY,
        )
        return found.order_by(*self.get_ordering(request))

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """With the box for those who may decide; without the status where all have the same."""
        status = request.GET.get("status", Answered.default)
        shown = self.list_display if status == "all" else [name for name in self.list_display if name != "status_label"]
        return ("choose", *shown) if request.user.has_perm(approvals.PERMISSION) else tuple(shown)

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> list[str]:
        return ["what"]

    def get_ordering(self, request: HttpRequest) -> tuple[Any, ...]:
        """What waits by urgency: the greater impact first, then what expires sooner. What is over, the newest first."""
        waits = request.GET.get("status", Answered.default) == ApprovalStatus.PENDING
        return (*self.ordering, "expires_at") if waits else ("-created_at",)

    @display(description="choose")
    def choose(self, row: ApprovalRequest) -> str:
        if row.status != ApprovalStatus.PENDING:
            return ""
        box = '<label class="sh-choose"><input type="checkbox" value="{}" data-impact="{}" aria-label="Choose {}"></label>'
        return format_html(box, row.pk, row.impact, row.title)

    @display(description="what")
    def what(self, row: ApprovalRequest) -> str:
        return row.title

    @display(description="where")
    def where(self, row: Any) -> str:
        return f"{row.service_name} / {row.target_name}" if row.service_name else f"domain {row.domain}"

    @display(description="impact", ordering="urgency", label=labels.IMPACT)
    def impact_label(self, row: ApprovalRequest) -> tuple[str, str]:
        return row.impact, row.get_impact_display()

    @display(description="status", label=labels.APPROVAL)
    def status_label(self, row: ApprovalRequest) -> tuple[str, str]:
        return row.status, row.get_status_display()

    @display(description="asked", ordering="created_at")
    def age(self, row: ApprovalRequest) -> str:
        return words.relative_tag(row.created_at, timezone.now())

    @display(description="expires", ordering="expires_at")
    def expires(self, row: ApprovalRequest) -> str:
        if row.status != ApprovalStatus.PENDING:
            return "–"
        told = mark_safe(' <span class="sh-badge sh-warning">escalated</span>') if row.escalations else ""
        return format_html("{}{}", words.relative_tag(row.expires_at, timezone.now()), told)

    @display(description="approvals")
    def votes_so_far(self, row: Any) -> str:
        return f"{row.approvals} of {row.needed}"

    @display(description="approved by")
    def who(self, row: Any) -> str:
        return ", ".join(row.approvers) or "anybody with the role"

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """With who may approve in each row, read once."""
        shown, named = super().get_changelist_instance(request), approvals.approvers_by_domain()
        for row in shown.result_list:
            row.approvers = named.get(row.domain, [])
        return shown

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may = request.user.has_perm(approvals.PERMISSION)
        asked = [(bulk, bulk.form(auto_id=f"bulk-{bulk.name}-%s", label_suffix="")) for bulk in BULK.values()]
        return super().changelist_view(request, {"may_answer": may, "bulk": asked, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.bulk_view)
        return [path("bulk/<slug:name>/", view, name="healing_approvalrequest_bulk"), *super().get_urls()]

    def bulk_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Answer what was chosen in the list, and say of each what became of it."""
        if name not in BULK:
            raise Http404(name)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.has_perm(approvals.PERMISSION):
            raise PermissionDenied
        self._answer_all(request, name)
        return HttpResponseRedirect(f"{self.list_address}?{kept(request.GET)}")

    def _answer_all(self, request: HttpRequest, name: str) -> None:
        form = BULK[name].form(request.POST)
        try:
            ids = [UUID(text) for text in request.POST.getlist("ids")]
        except ValueError:
            ids = []
        if not form.is_valid() or not 0 < len(ids) <= self.list_per_page:
            problems = [str(problem) for said in form.errors.values() for problem in said]
            messages.error(request, " ".join(problems) or f"Choose from 1 to {self.list_per_page} requests.")
            return
        user: User = request.user  # type: ignore[assignment]
        comment = form.cleaned_data["comment"]
        answers = approvals.answer_all(ids, user, name == "approve", comment, session_of(request), timezone.now())
        for status, number in Counter(answer.status for answer in answers if answer.status).items():
            said = "your approval counts, more are needed" if status == ApprovalStatus.PENDING else status
            messages.success(request, f"{number} {said}.")
        for answer in answers:
            if answer.refused:
                messages.warning(request, f"{answer.title}: {sentence(answer.refused)}")

    def live_page(self, thing: ApprovalRequest) -> int:
        return 5 if thing.status == ApprovalStatus.PENDING else 0

    def offered(self, request: HttpRequest, thing: ApprovalRequest) -> list[Act]:
        votes = list(thing.votes.all())
        if kept_from(thing, request.user, votes, timezone.now()):  # type: ignore[arg-type]
            return []
        may = not approvals.kept_from_approving(thing, request.user)  # type: ignore[arg-type]
        return [act for act in self.acts if may or act.name != "approve"]

    def _respond(
        self, request: HttpRequest, thing: ApprovalRequest, template: str = "", more: dict[str, Any] | None = None
    ) -> TemplateResponse:
        plain = thing.subject_type not in approvals.ABOUT_RUNS
        return super()._respond(request, thing, template or (self.plain_template if plain else ""), more)

    def page(self, request: HttpRequest, thing: ApprovalRequest, at: datetime) -> dict[str, Any]:
        shown = evidence(thing, at)
        kept = kept_from(thing, request.user, shown["votes"], at)  # type: ignore[arg-type]
        return {
            **shown,
            "kept_from": kept,
            "kept_from_approving": "" if kept else sentence(approvals.kept_from_approving(thing, request.user)),  # type: ignore[arg-type]
        }


def domains() -> list[tuple[str, str]]:
    names = Playbook.objects.filter(active=True).order_by("domain").values_list("domain", flat=True).distinct()
    return [(name, name) for name in names]


class NamedForm(forms.ModelForm):
    """Who approves where."""

    domain = forms.ChoiceField(choices=domains, widget=UnfoldAdminSelectWidget(), help_text="of the playbooks that there are")

    class Meta:
        model = DomainApprover
        fields = ("domain", "user")

    def clean_user(self) -> User:
        user: User = self.cleaned_data["user"]
        if not (user.is_active and user.has_perm(approvals.PERMISSION)):
            raise forms.ValidationError(f"{user} has not the role approver.")
        return user


def take_off(request: HttpRequest, thing: DomainApprover, said: dict[str, Any], at: datetime) -> str:
    approvals.remove_approver(thing, actor=request.user.get_username(), at=at)
    return f"{thing.user} does not approve in {thing.domain} any more"


@admin.register(DomainApprover)
class DomainApproverAdmin(PageAdmin):
    """Who approves in which domain. Naming and taking off need an administrator, and are logged."""

    page_template = "admin/healing/approver.html"
    form = NamedForm
    list_display = ("domain", "user")
    list_select_related = ("user",)
    empty_title = "No domain names its approvers"
    empty_hint = "Everybody with the role approves everywhere. Where a domain names somebody, only those approve there."
    empty_next = (("Name an approver", "add/", "healing.add_domainapprover"),)
    acts = (Act("remove", "Take off", CONFIGURE, take_off, "Take this person off the approvers of the domain?", style="danger"),)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return request.user.has_perm(CONFIGURE)

    def save_model(self, request: HttpRequest, obj: DomainApprover, form: Any, change: bool) -> None:
        named = approvals.name_approver(obj.domain, obj.user, actor=request.user.get_username(), at=timezone.now())
        obj.pk = named.pk

    def address(self, thing: DomainApprover) -> str:
        return reverse("admin:healing_domainapprover_changelist")

    def page(self, request: HttpRequest, thing: DomainApprover, at: datetime) -> dict[str, Any]:
        return {"approvers": approvals.approvers_of(thing.domain)}
