"""Whoever sends ever new methods, paths, ids or tenants gets no series of his own for them."""

import re

from prometheus_client.parser import text_string_to_metric_families

from scaivault.observability.catalogue.vocabulary import CAP, METHODS, OVERFLOW
from scaivault.observability.instruments import Instruments

HOSTILE = 100_000
TENANTS = 10_000
MOST_BYTES = 2_000_000


def samples(text, name):
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_a_hundred_thousand_hostile_requests_leave_a_handful_of_series(house):
    app, instruments = house.client.application, house.services.instruments

    def page():
        return instruments.render("application/openmetrics-text")[0].decode().removesuffix("# EOF\n")

    before = sum(samples(page(), "scaivault_requests_total").values())
    environ = app.test_request_context("/").request.environ
    for number in range(HOSTILE):
        mark = f"hostile{number:06}"
        sent = {"REQUEST_METHOD": mark.upper(), "PATH_INFO": f"/v1/{mark}/{mark}", "HTTP_X_REQUEST_ID": mark}
        b"".join(app.wsgi_app({**environ, **sent}, lambda *_: None))
    after = page()
    assert sum(samples(after, "scaivault_requests_total").values()) - before == HOSTILE
    assert {method for method, _, _ in samples(after, "scaivault_requests_total")} <= set(METHODS)
    assert samples(after, "scaivault_requests_total")["OTHER", "unmatched", "404"] >= HOSTILE
    assert not re.search("hostile", after, re.IGNORECASE)
    assert len(after) < MOST_BYTES


def test_ten_thousand_tenants_are_the_first_few_and_the_rest(tmp_path):
    instruments = Instruments()
    instruments.join(tmp_path)
    for number in range(TENANTS):
        instruments.secret_read(f"tnt_{number}", "kv")
        instruments.secret_write(f"tnt_{number}")
    text = instruments.render("")[0].decode()
    for name in ("scaivault_secret_reads_total", "scaivault_secret_writes_total"):
        counted = samples(text, name)
        assert sum(counted.values()) == TENANTS
        assert len(counted) == CAP + 1
        others = [value for labels, value in counted.items() if OVERFLOW in labels]
        assert others == [TENANTS - CAP]
        assert samples(text, "scaivault_metric_labels_dropped_total")[name,] == TENANTS - CAP
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < MOST_BYTES
