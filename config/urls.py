from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from healing.admin import account, dashboard, domains, dry_run, health, log, onboarding, sign_in, zones
from healing.admin.access import own_password
from healing.notifications.links import open_link
from learning.admin import learning_page
from learning.broker.admin import memory_page
from metafocus.admin import act, cycle_page, meta_page

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/login/", sign_in.sign_in),
    path("admin/second-factor/", sign_in.second_factor_page, name="second-factor"),
    path("admin/account/", admin.site.admin_view(account.account), name="account"),
    path("admin/account/<slug:name>/", admin.site.admin_view(account.act), name="account-act"),
    path("admin/time-zone/", admin.site.admin_view(zones.time_zone), name="time-zone"),
    path("admin/password_change/", admin.site.admin_view(own_password, cacheable=True)),
    path("admin/health/", admin.site.admin_view(health.health_page), name="health"),
    path("admin/domains/", admin.site.admin_view(domains.domains_page), name="domains"),
    path("admin/log/", admin.site.admin_view(log.log_page), name="log"),
    path("admin/begin/<slug:name>/", admin.site.admin_view(onboarding.act), name="onboarding"),
    path("admin/learning/", admin.site.admin_view(learning_page), name="learning"),
    path("admin/meta/", admin.site.admin_view(meta_page), name="meta"),
    path("admin/meta/act/<slug:name>/", admin.site.admin_view(act), name="meta-act"),
    path("admin/meta/cycles/<uuid:pk>/", admin.site.admin_view(cycle_page), name="meta-cycle"),
    path("admin/memory/", admin.site.admin_view(memory_page), name="memory"),
    path("admin/memory/<slug:domain>/", admin.site.admin_view(memory_page), name="memory-domain"),
    path("admin/what-if/", admin.site.admin_view(dry_run.what_if), name="what-if"),
    path("admin/approval/<str:signed>/", admin.site.admin_view(open_link), name="approval_link"),
    path("admin/", admin.site.admin_view(dashboard.now)),
    path("admin/", admin.site.urls),
    path("", include("metafocus.urls")),
    path("", include("learning.urls")),
    path("", include("healing.urls")),
]

# Errors under /api/ are application/problem+json, elsewhere Django's own pages.
handler400 = "healing.api.problems.bad_request"
handler403 = "healing.api.problems.forbidden"
handler404 = "healing.api.problems.not_found"
handler500 = "healing.api.problems.server_error"
