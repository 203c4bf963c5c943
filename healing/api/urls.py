"""The table of the API."""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from . import (
    approvals,
    autonomy,
    debt,
    incidents,
    intake,
    kill_switch,
    playbooks,
    runs,
    scheduler,
    services,
    signals,
    silences,
    unmatched,
    why,
    windows,
)
from . import schema as _schema  # noqa: F401  (tells the document how our authentication is called)

self_heal = [
    path("alerts/alertmanager", intake.alertmanager),
    path("alerts", intake.alerts),
    path("alerts/grafana", intake.grafana),
    path("alerts/cloudevents", intake.cloudevents),
    path("alerts/unmatched", unmatched.Unmatched.as_view()),
    path("alerts/why", why.WhyAlert.as_view()),
    path("signals", signals.Signals.as_view()),
    path("incidents", incidents.Incidents.as_view()),
    path("incidents/<uuid:pk>", incidents.OneIncident.as_view()),
    path("incidents/<uuid:pk>/timeline", incidents.Timeline.as_view()),
    path("incidents/<uuid:pk>/why", incidents.WhyIncident.as_view()),
    path("incidents/<uuid:pk>/ack", incidents.Acknowledge.as_view()),
    path("incidents/<uuid:pk>/resolve", incidents.Resolve.as_view()),
    path("incidents/<uuid:pk>/close", incidents.Close.as_view()),
    path("incidents/<uuid:pk>/comment", incidents.Comment.as_view()),
    path("incidents/<uuid:pk>/assign", incidents.Assign.as_view()),
    path("incidents/<uuid:pk>/mute", incidents.Mute.as_view()),
    path("incidents/<uuid:pk>/propose", incidents.Propose.as_view()),
    path("approvals", approvals.Approvals.as_view()),
    path("approvals/<uuid:pk>", approvals.OneApproval.as_view()),
    path("approvals/<uuid:pk>/approve", approvals.Approve.as_view()),
    path("approvals/<uuid:pk>/reject", approvals.Reject.as_view()),
    path("runs", runs.Runs.as_view()),
    path("runs/<uuid:pk>", runs.OneRun.as_view()),
    path("runs/<uuid:pk>/abort", runs.Abort.as_view()),
    path("problems", debt.Problems.as_view()),
    path("problems/<uuid:pk>", debt.OneProblem.as_view()),
    path("problems/<uuid:pk>/ack", debt.Acknowledge.as_view()),
    path("playbooks", playbooks.Playbooks.as_view()),
    path("playbooks/<str:name>/dry_run", playbooks.DryRun.as_view()),
    path("services", services.Services.as_view()),
    path("windows", windows.Windows.as_view()),
    path("windows/state", windows.WindowState.as_view()),
    path("autonomy", autonomy.Autonomy.as_view()),
    path("kill_switch", kill_switch.KillSwitch.as_view()),
    path("silences", silences.Silences.as_view()),
    path("silences/<uuid:pk>/end", silences.End.as_view()),
    path("scheduler_counters", scheduler.Counters.as_view()),
    path("scheduler_health", scheduler.Health.as_view()),
]

urlpatterns = [
    path("self_heal/", include(self_heal)),
    path("log/", include("healing.api.log_urls")),
    path("schema", SpectacularAPIView.as_view(), name="api-schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
]
