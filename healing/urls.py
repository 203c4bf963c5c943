"""The addresses of healing: the API, the two that say whether it lives, and its numbers."""

from django.urls import include, path

from healing import health
from healing.api.metrics import Metrics

urlpatterns = [
    path("api/", include("healing.api.urls")),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", Metrics.as_view(), name="metrics"),
]
