"""Where a request comes from: the nearest address that nobody who could lie has told us."""

import re
import uuid
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scaivault.edge.origin import MAX_FORWARDED_HOPS, MAX_USER_AGENT, Origins, Trace, trace_of

PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8:feed::/48")]
NOBODY = "0.0.0.0"
PROXY, INNER_PROXY, CLIENT = "10.0.0.1", "2001:db8:feed::7", "203.0.113.9"

proxies = st.sampled_from(PROXIES).flatmap(lambda network: st.ip_addresses(network=network)).map(str)
strangers = st.ip_addresses().filter(lambda address: not any(address in network for network in PROXIES)).map(str)
strangers = strangers.filter(lambda text: getattr(ip_address(text), "ipv4_mapped", None) is None)
rubbish = st.text(max_size=12).filter(
    lambda text: "," not in text and not {":", "]"} & set(text) and not is_address(text.strip())
)
hops = proxies | strangers | rubbish


def is_address(text):
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def seen(peer, forwarded_for, trusted=PROXIES):
    return str(Origins(trusted).client_address(peer, forwarded_for))


@given(strangers | proxies, st.lists(hops).map(", ".join) | st.text())
def test_without_trusted_proxies_only_the_socket_counts(peer, forwarded_for):
    assert seen(peer, forwarded_for, trusted=[]) == peer


@given(strangers, st.lists(hops).map(", ".join) | st.text())
def test_a_stranger_is_not_believed(peer, forwarded_for):
    assert seen(peer, forwarded_for) == peer


@given(st.lists(hops, max_size=5), strangers, st.lists(proxies, max_size=5), proxies)
def test_whatever_a_client_claims_it_is_seen_where_the_proxies_saw_it(claimed, client, passed, peer):
    assert seen(peer, ", ".join([*claimed, client, *passed])) == client


@given(st.lists(hops, max_size=5), rubbish, st.lists(proxies, min_size=1, max_size=5), proxies)
def test_what_is_no_address_is_nobodys(claimed, odd, passed, peer):
    assert seen(peer, ", ".join([*claimed, odd, *passed])) == NOBODY


@given(st.lists(proxies, min_size=1, max_size=MAX_FORWARDED_HOPS), proxies)
def test_a_request_of_the_proxies_own_is_its_first_hops(passed, peer):
    assert seen(peer, ",".join(passed)) == passed[0]


@given(st.text(), st.text())
def test_no_text_is_too_odd(peer, forwarded_for):
    assert is_address(seen(peer, forwarded_for))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        (PROXY, "", PROXY),
        (PROXY, ",", NOBODY),
        (PROXY, CLIENT, CLIENT),
        (PROXY, f" {CLIENT}\t", CLIENT),
        (PROXY, f"{CLIENT}, {INNER_PROXY}", CLIENT),
        (PROXY, f"192.0.2.66, {CLIENT}", CLIENT),
        (PROXY, f"{CLIENT}:4711", CLIENT),
        (PROXY, f"{CLIENT}, [{INNER_PROXY}]", CLIENT),
        (PROXY, "[2001:db8::7]:4711", "2001:db8::7"),
        (PROXY, f"{CLIENT}:port", NOBODY),
        (PROXY, "unknown, 10.0.0.2", NOBODY),
        (f"::ffff:{PROXY}", CLIENT, CLIENT),
        (PROXY, f"::ffff:{CLIENT}", CLIENT),
        (PROXY, "::ffff:10.9.9.9, 10.0.0.2", "10.9.9.9"),
        ("", CLIENT, NOBODY),
        ("unix:", CLIENT, NOBODY),
    ],
)
def test_examples(peer, forwarded_for, expected):
    assert seen(peer, forwarded_for) == expected


def test_no_more_hops_are_walked_than_a_real_chain_has():
    chain = [CLIENT, *[f"10.0.0.{hop}" for hop in range(1, 251)]]
    assert seen(PROXY, ", ".join(chain)) == f"10.0.0.{251 - MAX_FORWARDED_HOPS}"


def origin(**headers):
    return Origins([]).read(
        **{"peer": CLIENT, "forwarded_for": "", "request_id": None, "traceparent": None, "user_agent": ""} | headers
    )


class TestRequestId:
    @pytest.mark.parametrize("sent", ["r", "req_1", "A-b.c_9", "x" * 128, str(uuid.UUID(int=7))])
    def test_a_plain_one_is_taken(self, sent):
        assert origin(request_id=sent).request_id == sent

    @pytest.mark.parametrize("sent", [None, "", "a b", "a,b", "x" * 129, "a\n", "<b>", "é", "a\0", "a/b", "a:b"])
    def test_any_other_is_replaced(self, sent):
        assert re.fullmatch("req_[0-9a-f]{32}", origin(request_id=sent).request_id)

    @given(st.text(max_size=140))
    def test_what_is_echoed_is_always_plain(self, sent):
        echoed = origin(request_id=sent).request_id
        assert 1 <= len(echoed) <= 128
        assert all(character.isascii() and (character.isalnum() or character in "._-") for character in echoed)


class TestTrace:
    PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    def test_a_traceparent_is_continued_before_anything_else(self):
        assert origin(traceparent=self.PARENT, request_id="mine").trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"

    @pytest.mark.parametrize(
        ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)]
    )
    def test_of_who_continues_a_trace_the_span_and_the_flag_are_known(self, flags, sampled):
        continued = trace_of(self.PARENT[:-2] + flags, None)
        assert continued == Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled)

    @pytest.mark.parametrize(
        "parent",
        [
            "",
            "rubbish",
            PARENT.upper(),
            PARENT + "-more",
            PARENT[:-1],
            PARENT.replace("00-", "ff-", 1),
            "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        ],
    )
    def test_a_bad_one_counts_for_nothing(self, parent):
        assert trace_of(parent, "mine") == trace_of(None, "mine")

    @given(st.uuids())
    def test_a_uuid_is_taken_as_it_is(self, sent):
        assume(sent.int)
        assert {trace_of(None, spelled) for spelled in (str(sent), sent.hex, str(sent).upper())} == {Trace(sent.hex)}

    @given(st.text("abcxyz019.-_", min_size=1, max_size=128))
    def test_any_request_id_gives_a_trace_and_always_the_same(self, sent):
        told = trace_of(None, sent).trace_id
        assert re.fullmatch("[0-9a-f]{32}", told)
        assert int(told, 16)
        assert told == trace_of(None, sent).trace_id

    def test_the_zero_uuid_is_no_trace(self):
        assert int(trace_of(None, "0" * 32).trace_id, 16)

    def test_without_either_each_request_has_its_own(self):
        assert len({origin().trace_id for _ in range(100)}) == 100


def test_a_long_user_agent_is_cut():
    assert origin(user_agent="x" * 10_000).user_agent == "x" * MAX_USER_AGENT
