"""The catalogue says what the monitoring contract says, and the instruments make what the catalogue says, no less and no more."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scaivault.observability.catalogue import CATALOGUE
from scaivault.observability.catalogue.series import Kind, Scope
from scaivault.observability.catalogue.vocabulary import BUCKETS_SECONDS, PATH_CATEGORIES
from scaivault.observability.instruments import Instruments

# monitoring.md, section 1: name, type, labels.
PROMISED = {
    "scaivault_requests_total": ("counter", "method,path_category,status"),
    "scaivault_request_duration_seconds": ("histogram", "method,path_category"),
    "scaivault_active_requests": ("gauge", "path_category"),
    "scaivault_waiting_requests": ("gauge", ""),
    "scaivault_rate_limit_hits_total": ("counter", "category"),
    "scaivault_rate_limit_local_total": ("counter", "category"),
    "scaivault_secret_reads_total": ("counter", "tenant,secret_type"),
    "scaivault_secret_writes_total": ("counter", "tenant"),
    "scaivault_secret_rotations_total": ("counter", "status"),
    "scaivault_dependency_ready": ("gauge", "dependency"),
    "scaivault_db_latency_seconds": ("histogram", ""),
    "scaivault_redis_latency_seconds": ("histogram", ""),
    "scaivault_kms_latency_seconds": ("histogram", "operation"),
    "scaivault_db_pool_size": ("gauge", ""),
    "scaivault_db_pool_max": ("gauge", ""),
    "scaivault_db_pool_available": ("gauge", ""),
    "scaivault_db_pool_waiting": ("gauge", ""),
    "scaivault_kms_errors_total": ("counter", "operation"),
    "scaivault_audit_entries_total": ("counter", "action,success"),
    "scaivault_audit_append_seconds": ("histogram", ""),
    "scaivault_policy_violations_total": ("counter", "tenant"),
    "scaivault_cache_requests_total": ("counter", "cache,result"),
    "scaivault_log_messages_total": ("counter", "level"),
    "scaivault_ready": ("gauge", ""),
    "scaivault_workers": ("gauge", "state"),
    "scaivault_process_resident_memory_bytes": ("gauge", "process"),
    "scaivault_build_info": ("gauge", "version,revision,python"),
    "scaivault_metric_labels_dropped_total": ("counter", "series"),
}
WORKERS_PROMISED = {
    "scaivault_webhook_delivery_duration_seconds": ("histogram", ""),
    "scaivault_webhook_attempts_total": ("counter", "webhook,status"),
    "scaivault_webhook_deliveries_total": ("counter", "webhook,status"),
    "scaivault_worker_jobs_total": ("counter", "job,status"),
    "scaivault_worker_last_success_timestamp_seconds": ("gauge", "job"),
}
BY_NAME = {series.name: series for series in CATALOGUE if series.is_counted_by_requests}


@pytest.fixture(scope="module")
def exposed():
    """Every family of a process in which everything has happened once."""
    instruments = Instruments(version="1.2.3", revision="abc")
    instruments.request_started("secrets")
    instruments.request_ended("GET", "secrets", 200, 0.003)
    instruments.secret_read("tnt_dev", "kv")
    instruments.secret_write("tnt_dev")
    instruments.secret_rotation("success")
    instruments.policy_violation("tnt_dev")
    instruments.observe_kms("decrypt", 0.1)
    text = instruments.render("")[0].decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return {f"{name}_total" if family.type == "counter" else name: family for name, family in families.items()}


def test_the_catalogue_is_what_the_monitoring_contract_promises():
    assert {name: (series.kind.value, ",".join(series.labels)) for name, series in BY_NAME.items()} == PROMISED


def test_a_worker_makes_its_own_besides():
    workers = {series.name: series for series in CATALOGUE if series.is_counted_by_workers}
    declared = {name: (series.kind.value, ",".join(series.labels)) for name, series in workers.items()}
    assert declared == WORKERS_PROMISED
    instruments = Instruments()
    instruments.make_worker_series()
    instruments.webhook_attempted("wh_1", "failed", 0.1)
    instruments.webhook_delivered("wh_1", "success")
    instruments.job_done("event_dispatch", 1, 1_780_000_000.0)
    instruments.job_failed("secret_expiry")
    text = instruments.render("")[0].decode()
    assert {family.name for family in text_string_to_metric_families(text)} >= {
        name.removesuffix("_total") for name in WORKERS_PROMISED
    }
    assert 'scaivault_worker_jobs_total{job="event_dispatch",status="success"} 1.0' in text
    assert 'scaivault_worker_jobs_total{job="heartbeat",status="failed"} 0.0' in text


def test_webhooks_are_capped():
    instruments = Instruments(cap=2)
    instruments.make_worker_series()
    for number in range(5):
        instruments.webhook_delivered(f"wh_{number}", "success")
    text = instruments.render("")[0].decode()
    assert 'scaivault_webhook_deliveries_total{status="success",webhook="__other__"} 3.0' in text


def test_no_series_is_declared_twice():
    assert len({series.name for series in CATALOGUE}) == len(CATALOGUE)


def test_instruments_make_every_series_and_no_other(exposed):
    assert exposed.keys() == BY_NAME.keys()


@pytest.mark.parametrize("name", PROMISED)
def test_a_series_is_exposed_as_declared(name, exposed):
    family, series = exposed[name], BY_NAME[name]
    assert family.type == series.kind.value
    assert family.documentation == series.help
    assert family.samples
    for sample in family.samples:
        assert sample.labels.keys() - {"le"} == series.labels.keys()
        for label, bound in series.labels.items():
            assert isinstance(bound, int) or sample.labels[label] in bound


@pytest.mark.parametrize("series", CATALOGUE, ids=lambda series: series.name)
def test_a_declaration_is_complete_and_by_the_rules(series):
    assert re.fullmatch(r"scaivault_[a-z_]+", series.name)
    assert series.help.endswith(".")
    assert series.lint_exception or series.name.endswith("_total") is (series.kind is Kind.COUNTER)
    assert series.unit == "seconds" or series.kind is not Kind.HISTOGRAM
    assert not series.unit or series.name.endswith(series.unit)
    assert series.scope is Scope.POD or series.kind is Kind.GAUGE
    assert re.fullmatch(r"\d+\.\d+\.\d+|", series.since)
    assert not {"secret", "token", "path", "source_ip"} & series.labels.keys()
    assert all(bound for bound in series.labels.values())


def test_histograms_have_the_contracts_buckets(exposed):
    bounds = [
        sample.labels["le"] for sample in exposed["scaivault_db_latency_seconds"].samples if "le" in sample.labels
    ]
    assert [float(bound) for bound in bounds] == [*BUCKETS_SECONDS, float("inf")]
    assert BUCKETS_SECONDS == (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def test_path_categories_are_the_contracts():
    assert " ".join(PATH_CATEGORIES) == (
        "secrets batch policies rotation pki acme dynamic webhooks subscriptions audit federation identity auth system"
        " unmatched"
    )
