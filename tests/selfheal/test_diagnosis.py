import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.diagnosis import NAMES, diagnose, is_name
from selfheal.guardrails import LIMITS
from selfheal.states import Level
from selfheal.symptoms import words_of
from tests.advisers.alerts import GENERAL, HALVES, judged, right, specific


@pytest.mark.parametrize(
    ("alertname", "name", "confidence"),
    [
        ("ServiceDown", "service_down", 0.95),
        ("InstanceDown", "service_down", 0.95),
        ("TargetDown", "service_down", 0.95),
        ("HighErrorRate", "elevated_errors", 0.85),
        ("HighLatency", "latency_spike", 0.85),
        ("DiskFull", "capacity_strain", 0.85),
        ("NodeFilesystem", "capacity_strain", 0.85),
        ("NodeFilesystemAlmostOutOfSpace", "capacity_strain", 0.85),
        ("MyServiceDown", "general_degradation", 0.5),
        ("ServiceDownAgain", "general_degradation", 0.5),
        ("Node\nFilesystem", "general_degradation", 0.5),
        ("", "general_degradation", 0.5),
    ],
)
def test_the_table_of_the_contract_holds(alertname, name, confidence):
    found = diagnose({"alertname": alertname})
    assert (found.name, found.confidence) == (name, confidence)


def test_the_label_diagnosis_wins_over_everything():
    found = diagnose({"alertname": "InstanceDown", "diagnosis": "queue_stuck"}, mapped="capacity_strain")
    assert (found.name, found.confidence) == ("queue_stuck", 1.0)


def test_a_mapped_diagnosis_has_the_confidence_of_the_table_where_it_stands_there():
    assert diagnose({"alertname": "X"}, mapped="service_down").confidence == 0.95
    assert diagnose({"alertname": "InstanceDown"}, mapped="queue_stuck").confidence == 0.85


@pytest.mark.parametrize("text", ["", "1st", "a b", "a\n", "x" * 61, "${secret.x}", "é"])
def test_what_is_no_name_is_told(text):
    assert not is_name(text)


@pytest.mark.parametrize(
    ("alertname", "words"),
    [
        ("KubePodOOMKilled", "kube pod oom killed"),
        ("HighHttp5xxErrorRate", "high http 5 xx error rate"),
        ("disk_space-low", "disk space low"),
        ("MysqlTooManyConnections(>80%)", "mysql too many connections 80"),
        ("", ""),
    ],
)
def test_a_name_is_read_as_words(alertname, words):
    assert words_of(alertname) == words


@pytest.mark.parametrize(
    ("alertname", "name"),
    [
        ("PaymentsDown", "service_down"),
        ("payments_down", "service_down"),
        ("OrdersSlowingDown", "latency_spike"),
        ("OrdersPodCrashLooping", "service_down"),
        ("OrdersFailedRequestsHigh", "elevated_errors"),
        ("OrdersP99LatencyHigh", "latency_spike"),
        ("OrdersQueueFillingUp", "capacity_strain"),
        ("OrdersDiskReadErrors", "elevated_errors"),
        ("OrdersCertificateExpiresSoon", "certificate_expiry"),
        ("OrdersConfigReloadFailed", "misconfiguration"),
        ("RackTemperatureHigh", "hardware_fault"),
        ("NewOrders", GENERAL),
        ("Watchdog", GENERAL),
    ],
)
def test_the_words_of_a_name_say_what_is_wrong(alertname, name):
    assert diagnose({"alertname": alertname, "severity": "critical"}).name == name


@pytest.mark.parametrize("half", HALVES)
def test_nine_of_ten_alerts_get_the_diagnosis_of_an_engineer(half):
    assert right(judged()[half]) >= 0.9


@pytest.mark.parametrize("half", HALVES)
def test_a_diagnosis_that_is_not_general_is_seldom_wrong(half):
    assert right(specific(judged()[half])) >= 0.95


@given(st.text(max_size=300))
def test_any_name_has_a_diagnosis_that_is_known(alertname):
    assert diagnose({"alertname": alertname, "severity": "info"}).name in NAMES


@pytest.mark.parametrize("alertname", ["OrdersFailing", "OrdersSlow", "OrdersOffline", "OrdersDiskSpaceLow"])
def test_words_alone_start_nothing_without_a_person_at_maintain(alertname):
    assert diagnose({"alertname": alertname, "severity": "critical"}).confidence < LIMITS[Level.MAINTAIN].confidence


def test_a_mapped_diagnosis_is_as_sure_whether_or_not_words_give_it():
    assert diagnose({"severity": "critical"}, mapped="certificate_expiry").confidence == 0.85
