from django.urls import path

from learning.broker import api

urlpatterns = [
    path("query", api.Query.as_view()),
    path("store", api.Store.as_view()),
    path("stats", api.Stats.as_view()),
    path("approvals", api.CrossDomain.as_view()),
]
