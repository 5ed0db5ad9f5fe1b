"""Who does what: the audit trail and the policies."""

from tools.monitoring.rules.alerts.dependencies import calls
from tools.monitoring.rules.installations import INSTALLATION, up
from tools.monitoring.rules.model import Alert, Panel, Seen, silent

_ACCESS = "scaivault-access"
APPEND = "scaivault_audit_append_seconds"

_REFUSED = "sum without (instance, pod) (rate(scaivault_policy_violations_total[10m]))"
_WATCHED = f'group by ({INSTALLATION}) (up{{job="scaivault"}})'
# Of a day only what was watched counts: the usual is what that had, and not a whole day's share.
_USUALLY_REFUSED = (
    "sum without (instance, pod) (rate(scaivault_policy_violations_total[1d] offset 10m))\n"
    f"  * on ({INSTALLATION}) group_left () (\n"
    "    scalar(count_over_time(vector(1)[1d:10m] offset 10m))\n"
    f"    / count_over_time({_WATCHED}[1d:10m] offset 10m)\n"
    "  )"
)


def refused(values: str, tenant: str = "tnt_a", **labels: str) -> dict[str, str]:
    """By a vault that is watched from the story's beginning."""
    told = "".join(f',{name}="{value}"' for name, value in labels.items())
    named = f'job="scaivault",instance="vault-0:9464",tenant="{tenant}"{told}'
    return {f"scaivault_policy_violations_total{{{named}}}": values} | up(
        "scaivault", "1x2000", "vault-0:9464", **labels
    )


PROD = {"cluster": "a", "namespace": "prod", "release": "vault"}
TEST = {"cluster": "a", "namespace": "test", "release": "vault"}

ALERTS = (
    Alert(
        "ScaiVaultAuditAppendSlow",
        "ticket",
        "job:scaivault_audit_append_slow:ratio_increase5m > <slow_share>",
        "10m",
        "Writing the audit trail is slow",
        "{{ $value | humanizePercentage }} of the audit entries took longer than <audit_seconds> s to write. No answer leaves "
        "before its entry is durable, so requests wait as long. Look at PostgreSQL's disk and at locks on audit_log.",
        Panel(_ACCESS, "Audit append"),
        (
            Seen("a tenth is slow", calls(APPEND, "0.1", "0+90x120", "0+100x120"), "20m", every="1m"),
            silent("one of a hundred is", calls(APPEND, "0.1", "0+99x120", "0+100x120"), "20m", every="1m"),
            silent("hardly anybody asks", calls(APPEND, "0.1", "0x120", "0x20 3x100"), "20m", every="1m"),
        ),
    ),
    Alert(
        "ScaiVaultPolicyViolationSpike",
        "ticket",
        f"{_REFUSED}\n> <violation_factor> * (\n  {_USUALLY_REFUSED}\n  or 0 * {_REFUSED}\n)\n"
        f"and on ({INSTALLATION}) last_over_time({_WATCHED}[1d:10m] offset 1h)\n"
        "and sum without (instance, pod) (increase(scaivault_policy_violations_total[10m])) >= <fewest_violations>",
        "1m",
        "Tenant {{ $labels.tenant }} is refused far more often than usual",
        '{{ $value | printf "%.1f" }} requests a second of tenant {{ $labels.tenant }} are refused by scope or policy, more than '
        "<violation_factor> times the day's average. A policy was changed, a client is misconfigured, or somebody tries what a "
        "stolen token opens. The audit trail names identity and address of each.",
        Panel(_ACCESS, "Policy violations"),
        (
            Seen(
                "a token is tried out", refused("0+1x720 720+60x60"), "12h10m", every="1m", labels={"tenant": "tnt_a"}
            ),
            Seen("a tenant that was never refused is", refused("_x120 0+6x40"), "2h15m", every="1m"),
            Seen(
                "it is so of one installation, and usual for another",
                refused("0+1x180 180+60x60", **PROD) | refused("0+60x240", **TEST),
                "3h10m",
                labels=PROD,
                every="1m",
            ),
            silent("Prometheus has just begun: it is steady", refused("0+12x800"), "6m", every="1m"),
            silent("Prometheus is half an hour old: it is steady", refused("0+12x800"), "30m", every="1m"),
            silent("Prometheus is two hours old: it is steady", refused("0+12x800"), "2h", every="1m"),
            silent("it is as ever", refused("0+60x800"), "12h10m", every="1m"),
            silent("some are", refused("0x720 0+2x60"), "12h10m", every="1m"),
            silent("none is", refused("0x800"), "12h10m", every="1m"),
        ),
    ),
)
