"""Counting stays bounded, starts at zero, and adds up over processes."""

import contextlib
import subprocess
import sys
import threading
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from scaivault.observability.catalogue import CATALOGUE
from scaivault.observability.catalogue.vocabulary import ACTIONS, PATH_CATEGORIES
from scaivault.observability.instruments import Instruments

HERE = [series for series in CATALOGUE if series.is_counted_by_requests]


@pytest.fixture
def instruments():
    return Instruments(version="1.2.3", revision="abc", cap=3)


def samples(instruments, name):
    """Values by labels, in the order of the labels' names."""
    text = instruments.render("")[0].decode()
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_a_request_is_counted_timed_and_active_while_it_lasts(instruments):
    instruments.request_started("secrets")
    assert samples(instruments, "scaivault_active_requests")["secrets",] == 1
    instruments.request_ended("GET", "secrets", 200, 0.02)
    assert samples(instruments, "scaivault_active_requests")["secrets",] == 0
    assert samples(instruments, "scaivault_requests_total") == {("GET", "secrets", "200"): 1}
    assert samples(instruments, "scaivault_request_duration_seconds_sum") == {("GET", "secrets"): 0.02}


def test_known_label_sets_start_at_zero(instruments):
    assert samples(instruments, "scaivault_active_requests") == {(category,): 0 for category in PATH_CATEGORIES}
    entries = samples(instruments, "scaivault_audit_entries_total")
    assert entries == {(action, success): 0 for action in ACTIONS for success in ("true", "false")}
    assert set(samples(instruments, "scaivault_kms_errors_total")) == {("encrypt",), ("decrypt",), ("sign",)}
    assert set(samples(instruments, "scaivault_log_messages_total").values()) == {0}
    assert samples(instruments, "scaivault_db_latency_seconds_count") == {(): 0}
    dropped = samples(instruments, "scaivault_metric_labels_dropped_total")
    all_series = [*HERE, *(series for series in CATALOGUE if series.is_counted_by_workers)]
    assert dropped == {(series.name,): 0 for series in all_series if series.labels and "dropped" not in series.name}


def test_what_is_met_is_shown_before_anything_happens_to_it(instruments):
    instruments.make_worker_series()
    instruments.meet_operations([("GET", "secrets"), ("PUT", "secrets")])
    instruments.meet_tenant("tnt_0")
    instruments.meet_webhook("wh_1")
    instruments.policy_violation("tnt_0")
    instruments.meet_tenant("tnt_0")
    faults = {(method, "secrets", status): 0 for method in ("GET", "PUT") for status in ("500", "503")}
    assert samples(instruments, "scaivault_requests_total") == faults
    assert samples(instruments, "scaivault_policy_violations_total") == {("tnt_0",): 1}
    for ended in ("attempts", "deliveries"):
        shown = samples(instruments, f"scaivault_webhook_{ended}_total")
        assert shown == {("success", "wh_1"): 0, ("failed", "wh_1"): 0}
    assert set(samples(instruments, "scaivault_metric_labels_dropped_total").values()) == {0}


def test_tenants_are_capped_and_the_rest_is_counted_together(instruments):
    for number in range(5):
        instruments.secret_write(f"tnt_{number}")
    instruments.secret_write("tnt_0")
    assert samples(instruments, "scaivault_secret_writes_total") == {
        ("tnt_0",): 2,
        ("tnt_1",): 1,
        ("tnt_2",): 1,
        ("__other__",): 2,
    }
    assert samples(instruments, "scaivault_metric_labels_dropped_total")["scaivault_secret_writes_total",] == 2


def test_a_tenant_that_has_a_series_has_one_everywhere(instruments):
    for number in range(4):
        instruments.secret_write(f"tnt_{number}")
    instruments.policy_violation("tnt_0")
    instruments.policy_violation("tnt_3")
    assert samples(instruments, "scaivault_policy_violations_total") == {("tnt_0",): 1, ("__other__",): 1}


def test_what_is_refused_is_not_remembered(instruments):
    for number in range(50):
        instruments.secret_write(f"tnt_{number}")
        instruments.cache_request(f"cache_{number}", "hit")
    assert len(instruments._secret_writes._children) == 4
    assert len(instruments._cache_requests._children) == 10


def test_unknown_methods_are_other_and_no_loss(instruments):
    instruments.request_started("system")
    instruments.request_ended("BREW", "system", 405, 0.001)
    assert samples(instruments, "scaivault_requests_total") == {("OTHER", "system", "405"): 1}
    assert set(samples(instruments, "scaivault_metric_labels_dropped_total").values()) == {0}


def test_unknown_values_of_closed_labels_are_counted_as_dropped(instruments):
    instruments.secret_read("tnt_0", "hunter2")
    assert samples(instruments, "scaivault_secret_reads_total") == {("__other__", "tnt_0"): 1}
    assert samples(instruments, "scaivault_metric_labels_dropped_total")["scaivault_secret_reads_total",] == 1


def test_every_seam_moves_its_series(instruments):
    instruments.observe_db(0.1)
    instruments.observe_redis(0.2)
    instruments.observe_kms("sign", 0.3)
    instruments.kms_failed("sign")
    instruments.set_pool(6, 2, 10, 3)
    instruments.observe_audit("read", success=False, seconds=0.4)
    instruments.cache_request("token", "hit")
    instruments.log_message("warn")
    assert samples(instruments, "scaivault_db_latency_seconds_sum") == {(): 0.1}
    assert samples(instruments, "scaivault_redis_latency_seconds_sum") == {(): 0.2}
    assert samples(instruments, "scaivault_kms_latency_seconds_sum")["sign",] == 0.3
    assert samples(instruments, "scaivault_kms_errors_total")["sign",] == 1
    assert samples(instruments, "scaivault_db_pool_size") == {(): 6}
    assert samples(instruments, "scaivault_db_pool_available") == {(): 2}
    assert samples(instruments, "scaivault_db_pool_max") == {(): 10}
    assert samples(instruments, "scaivault_db_pool_waiting") == {(): 3}
    assert samples(instruments, "scaivault_audit_entries_total")["read", "false"] == 1
    assert samples(instruments, "scaivault_audit_append_seconds_sum") == {(): 0.4}
    assert samples(instruments, "scaivault_cache_requests_total")["token", "hit"] == 1
    assert samples(instruments, "scaivault_log_messages_total")["warn",] == 1


def test_threads_lose_nothing_and_make_no_child_twice(instruments):
    def work():
        for number in range(300):
            instruments.secret_write(f"tnt_{number % 5}")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = samples(instruments, "scaivault_secret_writes_total")
    assert sum(counted.values()) == 2_400
    assert len(counted) == 4


def test_prometheus_text_is_the_default_and_openmetrics_for_those_who_ask(instruments):
    assert instruments.render("*/*")[1] == "text/plain; version=0.0.4; charset=utf-8"
    body, kind = instruments.render("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.endswith(b"# EOF\n")
    assert b"_created" not in body


def test_the_build_is_named(instruments):
    [(python, revision, version)] = samples(instruments, "scaivault_build_info")
    assert (version, revision) == ("1.2.3", "abc")
    assert python.startswith("3.")


WORKER = """
import sys
from pathlib import Path
from scaivault.observability.instruments import Instruments
instruments = Instruments(version="1.2.3", revision="abc")
instruments.request_started("secrets")
instruments.join(Path(sys.argv[1]))
instruments.request_ended("GET", "secrets", 200, 0.02)
instruments.request_started("audit")
instruments.secret_read("tnt_dev", "kv")
instruments.secret_write("tnt_dev")
instruments.policy_violation("tnt_dev")
instruments.set_pool(5, 3, 10, 2)
instruments.set_ready(sys.argv[2:] != ["unready"])
instruments.set_dependency_ready("redis", True)
print("ready", flush=True)
input()
"""


@contextlib.contextmanager
def worker(folder, *words):
    """A process that has counted, and that lives until it is killed."""
    command = [sys.executable, "-c", WORKER, str(folder), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def test_processes_add_up_and_live_gauges_go_with_them(tmp_path, instruments):
    instruments.join(tmp_path)
    instruments.set_pool(1, 1, 10, 0)
    with worker(tmp_path), worker(tmp_path):
        assert samples(instruments, "scaivault_requests_total") == {("GET", "secrets", "200"): 2}
        assert samples(instruments, "scaivault_request_duration_seconds_count") == {("GET", "secrets"): 2}
        assert samples(instruments, "scaivault_active_requests")["audit",] == 2
        assert samples(instruments, "scaivault_db_pool_size") == {(): 11}
        assert samples(instruments, "scaivault_db_pool_max") == {(): 30}
        assert samples(instruments, "scaivault_db_pool_waiting") == {(): 4}
        assert samples(instruments, "scaivault_workers") == {("draining",): 0, ("serving",): 0, ("starting",): 3}
    assert samples(instruments, "scaivault_requests_total") == {("GET", "secrets", "200"): 2}
    assert samples(instruments, "scaivault_active_requests")["audit",] == 0
    assert samples(instruments, "scaivault_db_pool_size") == {(): 1}
    assert samples(instruments, "scaivault_workers")["starting",] == 1


def test_a_slot_that_is_taken_over_goes_on_counting(tmp_path, instruments):
    instruments.join(tmp_path)
    for number in range(1, 6):
        with worker(tmp_path):
            assert samples(instruments, "scaivault_requests_total") == {("GET", "secrets", "200"): number}
            assert samples(instruments, "scaivault_active_requests")["audit",] == 1
    assert {file.name for file in tmp_path.glob("*.slot")} == {"api-0.slot", "api-1.slot"}


def test_what_the_page_of_many_processes_has_is_the_catalogue(tmp_path, instruments):
    instruments.join(tmp_path)
    with worker(tmp_path):
        text = instruments.render("")[0].decode()
    assert text.count("\nscaivault_build_info{") == 1
    assert 'pid="' not in text
    families = {family.name for family in text_string_to_metric_families(text)}
    assert families == {series.name.removesuffix("_total") for series in HERE}


def test_tenants_stay_capped_whoever_takes_a_slot_over(tmp_path):
    for generation in range(4):
        instruments = Instruments(cap=3)
        instruments.join(tmp_path)
        for number in range(3):
            instruments.secret_write(f"tnt_{generation}_{number}")
        written = samples(instruments, "scaivault_secret_writes_total")
        instruments._store._slot.release()
    assert written == {("tnt_0_0",): 1, ("tnt_0_1",): 1, ("tnt_0_2",): 1, ("__other__",): 9}


def test_memory_is_told_by_kind_of_process(tmp_path, instruments):
    instruments.join(tmp_path)
    alone = samples(instruments, "scaivault_process_resident_memory_bytes")["api",]
    assert alone > 1_000_000
    with worker(tmp_path):
        assert samples(instruments, "scaivault_process_resident_memory_bytes")["api",] > alone + 1_000_000


def test_a_pod_is_ready_if_each_of_its_live_processes_is(tmp_path, instruments):
    instruments.join(tmp_path)
    assert samples(instruments, "scaivault_ready") == {(): 0}
    instruments.set_ready(True)
    with worker(tmp_path), worker(tmp_path):
        assert samples(instruments, "scaivault_ready") == {(): 1}
        with worker(tmp_path, "unready"):
            assert samples(instruments, "scaivault_ready") == {(): 0}
        assert samples(instruments, "scaivault_ready") == {(): 1}
        instruments.set_ready(False)
        assert samples(instruments, "scaivault_ready") == {(): 0}


def test_a_pod_finds_a_dependency_well_if_each_of_its_live_processes_does(tmp_path, instruments):
    instruments.join(tmp_path)
    assert samples(instruments, "scaivault_dependency_ready") == {("database",): 0, ("encryption",): 0, ("redis",): 0}
    for dependency in ("database", "encryption", "redis"):
        instruments.set_dependency_ready(dependency, True)
    with worker(tmp_path):
        assert samples(instruments, "scaivault_dependency_ready") == {
            ("database",): 0,
            ("encryption",): 0,
            ("redis",): 1,
        }
    assert set(samples(instruments, "scaivault_dependency_ready").values()) == {1}


def test_a_process_tells_what_it_does(tmp_path, instruments):
    instruments.set_state("serving")
    instruments.join(tmp_path)
    assert samples(instruments, "scaivault_workers")["serving",] == 1
    instruments.set_state("draining")
    assert samples(instruments, "scaivault_workers") == {("draining",): 1, ("serving",): 0, ("starting",): 0}


TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_a_traced_request_is_its_buckets_exemplar_in_openmetrics_only(tmp_path, instruments):
    instruments.join(tmp_path)
    for trace, seconds in (("f" * 32, 0.021), (TRACE, 0.02), (None, 0.023)):
        instruments.request_started("secrets")
        instruments.request_ended("GET", "secrets", 200, seconds, trace)
    text = instruments.render("application/openmetrics-text")[0].decode()
    buckets = [
        sample
        for family in openmetrics_families(text)
        for sample in family.samples
        if sample.name == "scaivault_request_duration_seconds_bucket"
    ]
    found = {sample.labels["le"]: sample.exemplar for sample in buckets if sample.exemplar}
    assert found.keys() == {"0.025"}
    assert found["0.025"].labels == {"trace_id": TRACE}
    assert found["0.025"].value == 0.02
    assert abs(float(found["0.025"].timestamp) - time.time()) < 60
    assert TRACE not in instruments.render("")[0].decode()


@pytest.mark.parametrize(
    "forged", ["", "0" * 32, "ab" * 15, "ab" * 17, "0x" + "a" * 30, 'a"} 1 # {b="' + "c" * 20, "ab " * 16]
)
def test_what_is_no_trace_id_gets_into_no_page(forged, instruments):
    instruments.request_started("secrets")
    instruments.request_ended("GET", "secrets", 200, 0.02, forged)
    text = instruments.render("application/openmetrics-text")[0].decode()
    assert "trace_id" not in text
    assert samples(instruments, "scaivault_requests_total") == {("GET", "secrets", "200"): 1}
