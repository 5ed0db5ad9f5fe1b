"""A real scrape has nothing that the catalogue has not, Prometheus's own linter likes it, and the documentation is the catalogue's."""

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from scaivault.observability.catalogue import CATALOGUE
from scaivault.observability.catalogue.series import Kind
from scaivault.observability.catalogue.vocabulary import BUCKETS_SECONDS, OVERFLOW
from tools import metrics_page

PAGE = Path("docs/operations/metrics.md")
BY_NAME = {series.name: series for series in CATALOGUE if series.is_here}
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def scrape(standing):
    """The page, in either format, of a vault that has done a little of everything."""
    ada = standing.ada
    ada.write("metrics/page")
    assert ada.get("/v1/secrets/metrics/page").status_code == 200
    assert ada.get("/v1/nowhere", headers={"X-Request-ID": "hostile"}).status_code == 404
    assert standing.house.voice().call("PROPFIND", "/v1/secrets/metrics/page").status_code in {401, 405}
    assert standing.bob.get("/v1/secrets/metrics/page").status_code == 404
    instruments = standing.house.services.instruments
    instruments.request_started("secrets")
    instruments.request_ended("GET", "secrets", 200, 0.003, TRACE)
    return lambda accept: ada.get("/v1/metrics", headers={"Accept": accept})


def families(scrape, accept, parse):
    answer = scrape(accept)
    assert answer.status_code == 200
    found = {family.name: family for family in parse(answer.text)}
    return {f"{name}_total" if family.type == "counter" else name: family for name, family in found.items()}


@pytest.fixture(
    scope="module",
    params=[("text/plain", text_families), ("application/openmetrics-text", openmetrics_families)],
    ids=["text", "openmetrics"],
)
def exposed(request, scrape):
    return families(scrape, *request.param)


def test_a_scrape_has_only_series_of_the_catalogue(exposed):
    assert exposed.keys() <= BY_NAME.keys()


def test_series_are_exposed_as_they_are_declared(exposed):
    for name, family in exposed.items():
        series = BY_NAME[name]
        assert (family.type, family.documentation) == (series.kind.value, series.help)
        assert family.samples or not series.starts_at_zero
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == series.labels.keys()


def test_labels_are_within_their_bounds(exposed):
    for name, family in exposed.items():
        for label, bound in BY_NAME[name].labels.items():
            values = {sample.labels[label] for sample in family.samples} - {OVERFLOW}
            assert len(values) <= bound if isinstance(bound, int) else values <= set(bound)


def test_every_histogram_has_the_contracts_buckets(exposed):
    for family in exposed.values():
        if family.type == Kind.HISTOGRAM:
            found = {float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels}
            assert found <= {*BUCKETS_SECONDS, float("inf")}


def test_no_page_is_wrong_for_the_other_format(scrape):
    text, openmetrics = scrape("text/plain"), scrape("application/openmetrics-text")
    assert text.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert openmetrics.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert TRACE in openmetrics.text
    assert TRACE not in text.text
    assert "# EOF" not in text.text


def lint(promtool, page):
    """What promtool has to say, a complaint a line."""
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    complaints = (done.stdout + done.stderr).splitlines()
    assert done.returncode in ({0} if not complaints else {1, 3})
    return complaints


def test_promtool_has_nothing_to_say_of_a_scrape(promtool, scrape):
    exceptions = {series.name for series in CATALOGUE if series.lint_exception}
    complaints = lint(promtool, scrape("text/plain").text)
    assert [line for line in complaints if line.split(" ")[0] not in exceptions] == []


def test_promtool_complains_of_the_recorded_exceptions_only(promtool):
    """Of series to come as well: their names are settled."""
    complaints = lint(promtool, "".join(_declared(series) for series in CATALOGUE))
    assert {line.split(" ")[0] for line in complaints} == {series.name for series in CATALOGUE if series.lint_exception}


def _declared(series):
    labels = ",".join(f'{label}="x"' for label in series.labels)
    head = f"# HELP {series.name} {series.help}\n# TYPE {series.name} {series.kind.value}\n"
    if series.kind is not Kind.HISTOGRAM:
        return head + f"{series.name}{{{labels}}} 1\n"
    infinite = ",".join([*([labels] if labels else []), 'le="+Inf"'])
    parts = (
        f"{series.name}_bucket{{{infinite}}}",
        f"{series.name}_sum{{{labels}}}",
        f"{series.name}_count{{{labels}}}",
    )
    return head + "".join(f"{part} 1\n" for part in parts)


def test_the_documentation_is_what_the_catalogue_makes():
    assert PAGE.read_text() == metrics_page.page(), "run `make docs`"


def test_the_documentation_has_every_series_once_and_marks_what_is_to_come():
    here, to_come = PAGE.read_text().split("## To come")
    for part, listed in ((here, True), (to_come, False)):
        rows = re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)
        assert rows == sorted(series.name for series in CATALOGUE if series.is_here is listed)
