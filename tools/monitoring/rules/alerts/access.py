"""Who does what: the audit trail and the policies."""

from tools.monitoring.rules.alerts.dependencies import calls
from tools.monitoring.rules.model import Alert, Panel, Seen, silent

_ACCESS = "scaivault-access"
APPEND = "scaivault_audit_append_seconds"


def refused(values: str, tenant: str = "tnt_a") -> dict[str, str]:
    labels = f'job="scaivault",instance="vault-0:9464",tenant="{tenant}"'
    return {f"scaivault_policy_violations_total{{{labels}}}": values}


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
        "sum without (instance, pod) (rate(scaivault_policy_violations_total[10m]))\n"
        "> <violation_factor> * (\n"
        "  sum without (instance, pod) (rate(scaivault_policy_violations_total[1d] offset 10m))\n"
        "  or 0 * sum without (instance, pod) (rate(scaivault_policy_violations_total[10m]))\n"
        ")\n"
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
            Seen("a tenant that was never refused is", refused("0+6x40"), "15m", every="1m"),
            silent("it is as ever", refused("0+60x800"), "12h10m", every="1m"),
            silent("some are", refused("0x720 0+2x60"), "12h10m", every="1m"),
            silent("none is", refused("0x800"), "12h10m", every="1m"),
        ),
    ),
)
