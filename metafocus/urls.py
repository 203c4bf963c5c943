from django.urls import path

from metafocus import api

urlpatterns = [
    path("api/meta/focus", api.FocusView.as_view()),
    path("api/meta/cycles", api.CyclesView.as_view()),
    path("api/meta/cycles/<uuid:pk>", api.CycleView.as_view()),
    path("api/meta/guardrail", api.GuardrailView.as_view()),
    path("api/meta/advisers", api.AdvisersView.as_view()),
    path("api/meta/sources", api.SourcesView.as_view()),
    path("api/meta/sources/<str:name>", api.SourceView.as_view()),
]
