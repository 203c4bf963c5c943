import io
import json

import pytest
from django.core.management import call_command
from drf_spectacular.validation import validate_schema

from .test_access import GUARDED


@pytest.fixture
def document(anonymous):
    return json.loads(anonymous.client.get("/api/schema?format=json", headers={"Accept": "application/json"}).content)


def test_the_document_is_generated_without_a_warning():
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null", stdout=io.StringIO())


def test_the_document_is_open_valid_and_tells_of_every_address(document):
    validate_schema(document)
    told = {
        path.lstrip("/").replace("{id}", "00000000-0000-0000-0000-000000000000").replace("{name}", "x").replace("{kind}", "k")
        for path in document["paths"]
    }
    assert told == set(GUARDED)


def test_operations_have_tidy_names_and_every_one_tells_of_its_errors(document):
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert {"incidents_ack", "approvals_approve", "alerts_alertmanager", "kill_switch_set"} <= set(names)
    assert all("default" in operation["responses"] for operation in operations)


def test_the_pages_of_the_documentation_need_no_other_site(anonymous):
    page = anonymous.client.get("/api/docs").content.decode()
    assert "/static/drf_spectacular_sidecar/" in page
    assert "https://" not in page
    assert "http://" not in page
