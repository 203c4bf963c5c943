"""/metrics, for a Prometheus that comes with a bearer token of the scope read."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from healing import metrics
from healing.api.permissions import HasScope


class Metrics(APIView):
    permission_classes = [HasScope]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        """There is one form, whatever is asked for; errors are JSON."""
        return JSONRenderer(), JSONRenderer.media_type

    @extend_schema(operation_id="metrics", responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponse:
        """The numbers of this installation, in the text format of Prometheus."""
        return HttpResponse(metrics.text(timezone.now()), content_type=CONTENT_TYPE_LATEST)
