"""The metrics page as the administrator of one tenant may see it."""

import pytest

from scaivault.edge.metrics import as_seen_by

OWN = [
    b"# HELP scaivault_secrets Live secrets.\n",
    b'scaivault_secrets{tenant="tnt_a"} 7.0\n',
    b'scaivault_secrets{tenant="__other__"} 3.0\n',
    b'scaivault_secret_reads_total{secret_type="kv",tenant="tnt_a"} 1.0\n',
    b'scaivault_top_readers{identity="tnt_a/user:x@a.example"} 1.0\n',
    b'scaivault_rate_limit_bucket_fill{category="read",identity="__other__"} 1.0\n',
    b"scaivault_db_pool_size 2.0\n",
    b'scaivault_requests_total{method="GET",path_category="secrets",status="200"} 4.0\n',
    b"# EOF\n",
]


@pytest.mark.parametrize(
    "line",
    [
        b'scaivault_secrets{tenant="tnt_b"} 7.0\n',
        b'scaivault_secrets{tenant="tnt_a2"} 7.0\n',
        b'scaivault_secrets{tenant="ptn_a"} 7.0\n',
        b'scaivault_secret_reads_total{secret_type="kv",tenant="tnt_b"} 1.0\n',
        b'scaivault_secret_reads_total{tenant="tnt_b",secret_type="kv"} 1.0\n',
        b'scaivault_top_readers{identity="tnt_b/user:x@b.example"} 1.0\n',
        b'scaivault_rate_limit_bucket_fill{category="read",identity="tnt_b/tnt_a"} 0.5\n',
    ],
)
def test_what_tells_of_another_tenant_is_left_out(line):
    assert as_seen_by(b"".join([*OWN[:4], line, *OWN[4:]]), "tnt_a") == b"".join(OWN)
