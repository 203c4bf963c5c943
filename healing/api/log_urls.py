from django.urls import path

from healing.api import log

urlpatterns = [
    path("checkpoint", log.CheckpointView.as_view(), name="log-checkpoint"),
    path("entries", log.EntriesView.as_view(), name="log-entries"),
    path("key", log.KeyView.as_view(), name="log-key"),
    path("proof/inclusion", log.InclusionView.as_view(), name="log-inclusion"),
    path("proof/consistency", log.ConsistencyView.as_view(), name="log-consistency"),
]
