from django.urls import include, path

from learning import api

urlpatterns = [
    path("api/self_heal/learning", api.Learning.as_view()),
    path("api/self_heal/learning/outcomes", api.Outcomes.as_view()),
    path("api/self_heal/playbooks/<str:name>/shadow", api.ShadowScore.as_view()),
    path("api/memory/", include("learning.broker.urls")),
]
