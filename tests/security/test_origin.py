"""Where a request comes from is what the socket says, unless a proxy that we trust says more; ids and traces likewise."""

import hashlib
import re

import pytest

from tests.security.conftest import TRUSTED, UNTRUSTED

SECRETS = "/v1/secrets"
OURS = re.compile(r"req_[0-9a-f]{32}")
NOBODY = "0.0.0.0"
FORWARDED = "X-Forwarded-For: "


@pytest.fixture
def entry(vault, ada, room):
    """The audit entry of a request with these headers, sent from this address."""

    def entry(headers=(), source=UNTRUSTED, request_id=room):
        given = [f"X-Request-ID: {request_id}"] if request_id else []
        answer = vault.ask("GET", SECRETS, None, [*given, *headers], source)
        assert answer.status == 200
        [row] = ada.audit(request_id=answer.headers["x-request-id"])
        return row

    return entry


class TestAddress:
    @pytest.mark.parametrize(
        "header",
        [
            "X-Forwarded-For: 203.0.113.7",
            "X-Forwarded-For: 127.0.0.2",
            "X-Forwarded-For: 203.0.113.7, 10.1.2.3",
            "X_Forwarded_For: 203.0.113.7",
            "X-Real-IP: 203.0.113.7",
            "X-Client-IP: 203.0.113.7",
            "True-Client-IP: 203.0.113.7",
            "CF-Connecting-IP: 203.0.113.7",
            "Forwarded: for=203.0.113.7",
            "Remote-Addr: 203.0.113.7",
            "REMOTE_ADDR: 203.0.113.7",
            "X-Original-Forwarded-For: 203.0.113.7",
        ],
    )
    def test_nobody_else_can_say_who_he_is(self, entry, header):
        assert entry([header])["source_ip"] == UNTRUSTED

    @pytest.mark.parametrize(
        ("forwarded", "address"),
        [
            ("203.0.113.7", "203.0.113.7"),
            ("  203.0.113.7  ", "203.0.113.7"),
            # from the right: what stands left of the first stranger is what he says himself
            ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
            ("127.0.0.1, 10.0.0.1, 203.0.113.7", "203.0.113.7"),
            ("10.1.9.9, 203.0.113.7", "203.0.113.7"),
            ("garbage, 203.0.113.7", "203.0.113.7"),
            # over further proxies of ours
            ("203.0.113.7, 10.1.2.3", "203.0.113.7"),
            ("198.51.100.1, 203.0.113.7, 10.1.2.3, 10.1.2.4", "203.0.113.7"),
            ("203.0.113.7, 2001:db8:1::5", "203.0.113.7"),
            ("203.0.113.7, 127.0.0.2", "203.0.113.7"),
            # nobody but proxies
            ("10.1.2.3, 10.1.2.4", "10.1.2.3"),
            # not quite in the trusted networks
            ("203.0.113.7, 10.2.0.1", "10.2.0.1"),
            ("203.0.113.7, 127.0.0.3", "127.0.0.3"),
            # IPv6, and IPv4 dressed up as it
            ("2001:db8::7", "2001:db8::7"),
            ("2001:DB8:0:0::7", "2001:db8::7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("203.0.113.7, ::ffff:10.1.2.3", "203.0.113.7"),
            ("fe80::1%eth0", "fe80::1"),
            # with the port it came from, as some write it
            ("203.0.113.7:8443", "203.0.113.7"),
            ("[2001:db8::7]:8443", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("203.0.113.7:4711, 10.1.2.3:99", "203.0.113.7"),
        ],
    )
    def test_a_trusted_proxy_says_who_came_to_it(self, entry, forwarded, address):
        assert entry([FORWARDED + forwarded], TRUSTED)["source_ip"] == address

    @pytest.mark.parametrize(
        "hop",
        [
            "garbage",
            "unknown",
            "_hidden",
            "203.0.113.7:",
            "203.0.113.7:844300",
            "[203.0.113.7",
            "[2001:db8::7]8443",
            "203.0.113",
            "203.0.113.256",
            "010.1.2.3",
            "0x7f.0.0.1",
            "3405803783",
            "203.0.113.7/32",
            "203.0.113.7 198.51.100.1",
            "203.0.113.7;",
            '"203.0.113.7"',
            "for=203.0.113.7",
            "localhost",
            "",
            "\u00b2\u00b3.0.0.1",
            "a" * 4_000,
        ],
        ids=lambda hop: ascii(hop)[:40],
    )
    def test_a_hop_that_is_no_address_is_nobodys(self, entry, hop):
        assert entry([f"{FORWARDED}203.0.113.7, {hop}"], TRUSTED)["source_ip"] == NOBODY
        beyond = entry([f"{FORWARDED}203.0.113.7, {hop}, 10.1.2.3"], TRUSTED, request_id=None)
        assert beyond["source_ip"] == NOBODY

    def test_without_the_header_the_proxy_itself_is_the_client(self, entry):
        assert entry([], TRUSTED)["source_ip"] == TRUSTED

    def test_several_headers_are_one_list(self, entry):
        headers = [f"{FORWARDED}198.51.100.1", f"{FORWARDED}203.0.113.7", f"{FORWARDED}10.1.2.3"]
        assert entry(headers, TRUSTED)["source_ip"] == "203.0.113.7"

    def test_a_walk_has_an_end(self, entry):
        hops = ", ".join(["203.0.113.7"] + ["10.1.2.3"] * 500)
        assert entry([FORWARDED + hops], TRUSTED)["source_ip"] == "10.1.2.3"

    def test_the_proxy_protocol_is_not_spoken(self, vault):
        raw = b"PROXY TCP4 203.0.113.7 203.0.113.8 1 2\r\nGET /v1/version HTTP/1.1\r\nHost: vault\r\n\r\n"
        assert vault.send(raw, TRUSTED).status == 400


@pytest.fixture(scope="module")
def from_office(standing):
    """Somebody who may read from 203.0.113.0/24 and 2001:db8:5::/48 alone."""
    standing.ada.write("office/db")
    conditions = {"conditions": {"ip_ranges": ["203.0.113.0/24", "2001:db8:5::/48"]}}
    standing.house.allow(standing.ada, "user:office", ("office/*", ["read"], conditions))
    return standing.house.someone("user:office").token


class TestConditions:
    @pytest.mark.parametrize(
        ("source", "forwarded"),
        [
            (TRUSTED, "203.0.113.7"),
            (TRUSTED, "198.51.100.1, 203.0.113.7, 10.1.2.3"),
            (TRUSTED, "::ffff:203.0.113.7"),
            (TRUSTED, "2001:db8:5::1"),
        ],
    )
    def test_hold_for_the_address_that_is_believed(self, vault, from_office, source, forwarded):
        answer = vault.ask("GET", "/v1/secrets/office/db", None, [FORWARDED + forwarded], source, from_office)
        assert answer.status == 200

    @pytest.mark.parametrize(
        ("source", "forwarded"),
        [
            (UNTRUSTED, "203.0.113.7"),
            (UNTRUSTED, "203.0.113.7, 127.0.0.2"),
            (TRUSTED, "203.0.113.7, 198.51.100.1"),
            (TRUSTED, "203.0.113.7, garbage"),
            (TRUSTED, "203.0.113.7:http"),
            (TRUSTED, "203.0.114.7:80"),
            (TRUSTED, "2001:db8:6::1"),
            (TRUSTED, "203.0.114.7"),
        ],
    )
    def test_do_not_hold_for_an_address_that_is_only_claimed(self, vault, ada, room, from_office, source, forwarded):
        headers = [FORWARDED + forwarded, f"X-Request-ID: {room}"]
        answer = vault.ask("GET", "/v1/secrets/office/db", None, headers, source, from_office)
        assert (answer.status, answer.code) == (403, "ip_not_allowed")
        [row] = ada.audit(request_id=room)
        assert row["source_ip"] != "203.0.113.7"
        assert row["extra_data"]["failed_condition"] == "ip_ranges"


class TestRequestId:
    @pytest.mark.parametrize("request_id", ["a", "A-b_c.9", "0193-" + "f" * 32, "x" * 128, "req_mine", "..", "-"])
    def test_a_good_one_is_kept_everywhere(self, vault, ada, room, request_id):
        request_id = f"{room}.{request_id}"[:128]
        header = f"X-Request-ID: {request_id}"
        answer = vault.ask("GET", "/v1/secrets/app/none", None, [header])
        assert answer.headers["x-request-id"] == request_id
        assert answer.json["error"]["request_id"] == request_id
        assert [row["request_id"] for row in ada.audit(request_id=request_id)] == [request_id]

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "x" * 129,
            "a b",
            "a,b",
            "a/b",
            "a;b",
            'a"b',
            "<script>",
            "a\tb",
            "{}",
            "a%0Ab",
            "é",
            "req:1",
            "x" * 5_000,
        ],
        ids=lambda given: ascii(given)[:30],
    )
    def test_another_one_is_replaced(self, vault, given):
        answer = vault.ask("GET", "/v1/secrets/app/none", None, [f"X-Request-ID: {given}"])
        assert OURS.fullmatch(answer.headers["x-request-id"])
        assert answer.json["error"]["request_id"] == answer.headers["x-request-id"]

    def test_two_are_none(self, vault):
        answer = vault.ask("GET", "/v1/version", None, ["X-Request-ID: a", "X-Request-ID: b"])
        assert OURS.fullmatch(answer.headers["x-request-id"])

    def test_a_line_end_makes_no_second_header(self, vault):
        answer = vault.ask("GET", "/v1/version", None, [b"X-Request-ID: a\nSet-Cookie: b"])
        assert answer.status == 400
        assert "set-cookie" not in answer.headers

    def test_every_answer_has_one_of_its_own(self, vault):
        ids = {vault.ask("GET", target).headers["x-request-id"] for target in ("/v1/version", "/v1/x", "/v1/secrets")}
        assert len(ids) == 3
        assert all(OURS.fullmatch(each) for each in ids)


class TestTrace:
    TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

    @pytest.mark.parametrize("flags", ["00", "01", "ff"])
    def test_a_good_traceparent_is_joined(self, entry, flags):
        assert entry([f"traceparent: 00-{self.TRACE}-{self.SPAN}-{flags}"])["trace_id"] == self.TRACE

    @pytest.mark.parametrize(
        "traceparent",
        [
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}",
            f"00-{TRACE}-{SPAN}-01-extra",
            f"ff-{TRACE}-{SPAN}-01",
            f"00-{TRACE[:-1]}-{SPAN}-01",
            f"00-{TRACE}x-{SPAN}-01",
            f"00 {TRACE} {SPAN} 01",
            f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01",
            "x" * 5_000,
            "",
        ],
        ids=lambda text: text[:60],
    )
    def test_a_bad_one_is_as_good_as_none(self, entry, room, traceparent):
        row = entry([f"traceparent: {traceparent}"])
        assert row["trace_id"] == hashlib.sha256(room.encode()).hexdigest()[:32]

    @pytest.mark.parametrize("request_id", ["0193c2e5-7f3a-7b1c-9d2e-3f4a5b6c7d8e", "4BF92F3577B34DA6A3CE929D0E0E4737"])
    def test_a_request_id_that_can_be_a_trace_id_is_one(self, entry, request_id):
        assert entry(request_id=request_id)["trace_id"] == request_id.replace("-", "").lower()

    def test_without_any_there_is_a_new_one_each_time(self, entry):
        first, second = entry(request_id=None)["trace_id"], entry(request_id=None)["trace_id"]
        assert first != second
        assert re.fullmatch(r"[0-9a-f]{32}", first)


class TestUserAgent:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("scaivault-python/1.0", "scaivault-python/1.0"),
            ("x" * 5_000, "x" * 256),
            ("a\tb", "a\ufffdb"),
            ("", ""),
            ('"; DROP TABLE audit_log; --', '"; DROP TABLE audit_log; --'),
        ],
        ids=lambda text: text[:30],
    )
    def test_is_kept_bounded_and_printable(self, entry, given, kept):
        assert entry([f"User-Agent: {given}"])["user_agent"] == kept
