"""What is promised, and how fast its budget is spent: by two windows, so that it begins late enough and ends soon."""

from tools.monitoring.rules.model import Alert, Panel, Seen, Severity, silent

ERRORS, SLOW, REQUESTS = (
    Panel("scaivault-overview", title) for title in ("Error budget", "Latency budget", "Request rate and status")
)

# Of an hour the rate is counted; of longer times it is an average of what there is, and not what happened.
_HAPPENED = {"1h": "rate1h * 3600", "6h": "increase6h", "3d": "increase3d"}


def _requests(status: str, values: str, category: str = "secrets") -> dict[str, str]:
    labels = f'job="scaivault",instance="vault-0:9464",method="GET",path_category="{category}"'
    return {f'scaivault_requests_total{{{labels},status="{status}"}}': values}


def _seconds(quick: str, every: str) -> dict[str, str]:
    name, labels = "scaivault_request_duration_seconds", 'job="scaivault",method="GET",path_category="secrets"'
    return {f'{name}_bucket{{{labels},le="0.25"}}': quick, f"{name}_count{{{labels}}}": every}


def _errors(name: str, severity: Severity, burn: str, windows: tuple[str, str], means: str, *stories: Seen) -> Alert:
    long, short = windows
    return Alert(
        f"ScaiVaultErrorBudgetBurn{name}",
        severity,
        f"scaivault:scaivault_request_errors:ratio_rate{long} > <{burn}> * <error_budget>\n"
        f"and scaivault:scaivault_request_errors:ratio_rate{short} > <{burn}> * <error_budget>\n"
        f"and scaivault:scaivault_request_errors:{_HAPPENED[long]} >= <fewest_errors>",
        "1m",
        "{{ $value | humanizePercentage }} of requests fail",
        f"{{{{ $value | humanizePercentage }}}} of the requests of the last {long} were answered 5xx, where <error_budget%> are allowed: "
        f"{means}. See which category it is, then whether PostgreSQL, Redis or the key service is its cause.",
        ERRORS,
        stories,
    )


def _slow(name: str, severity: Severity, burn: str, windows: tuple[str, str], *stories: Seen) -> Alert:
    long, short = windows
    return Alert(
        f"ScaiVaultLatencyBudgetBurn{name}",
        severity,
        f"scaivault:scaivault_slow_requests:ratio_rate{long} > <{burn}> * <slow_budget>\n"
        f"and scaivault:scaivault_slow_requests:ratio_rate{short} > <{burn}> * <slow_budget>\n"
        f"and scaivault:scaivault_slow_requests:{_HAPPENED[long]} >= <fewest_slow>",
        "1m",
        "{{ $value | humanizePercentage }} of requests for secrets are slow",
        f"{{{{ $value | humanizePercentage }}}} of the requests for secrets of the last {long} took longer than "
        "<request_seconds> s, where <slow_budget%> may. See whether PostgreSQL, Redis or the key service became slow, or the "
        "processes themselves are short of CPU.",
        SLOW,
        stories,
    )


def _few(answered: str, failed: str) -> dict[str, str]:
    return _requests("200", answered, "rotation") | _requests("503", failed, "rotation")


FINE = _requests("200", "0+3000x600")
YOUNG = _requests("200", "0+5x300")

ALERTS = (
    _errors(
        "Fast",
        "page",
        "burn_fast",
        ("1h", "5m"),
        "at this rate a month's budget is gone within two days",
        Seen("2 % fail", FINE | _requests("503", "0x10 0+60x590"), "1h", every="1m"),
        Seen("errors are counted from when they begin", FINE | _requests("503", "_x10 1+60x590"), "1h", every="1m"),
        Seen("it restarts meanwhile", FINE | _requests("503", "0+60x40 0+60x590"), "1h", every="1m"),
        silent("a restart forgets what was counted", FINE | _requests("503", "9000x40 0x590"), "1h", every="1m"),
        silent("1 % fails", FINE | _requests("503", "0x10 0+30x590"), "1h", every="1m"),
        silent("it is over", FINE | _requests("503", "0+600x30 18000x600"), "50m", every="1m"),
        silent("nobody asks for much", _requests("200", "0+1x300") | _requests("503", "0x9 1x300"), "1h", every="1m"),
        silent("there never was an error", FINE, "1h", every="1m"),
        silent("callers are wrong", FINE | _requests("404", "0+3000x600"), "1h", every="1m"),
    ),
    _errors(
        "Medium",
        "page",
        "burn_medium",
        ("6h", "30m"),
        "at this rate a month's budget is gone within five days",
        Seen("0.8 % fail", FINE | _requests("503", "0x10 0+24x590"), "6h", every="1m"),
        silent("0.5 % fail", FINE | _requests("503", "0x10 0+15x590"), "6h", every="1m"),
        silent("Prometheus has just begun: one failed", YOUNG | _requests("503", "0x9 1x300"), "5m"),
        silent("half an hour later three have", YOUNG | _requests("503", "0x9 1x40 2x40 3x300"), "30m"),
        Seen("it is young, and 2 % fail", FINE | _requests("503", "0x10 0+60x590"), "30m", every="1m"),
    ),
    _errors(
        "Slow",
        "ticket",
        "burn_slow",
        ("3d", "6h"),
        "at this rate there is nothing left of it at the month's end",
        Seen("0.2 % fail", FINE | _requests("503", "0x10 0+6x590"), "7h", every="1m"),
        silent("0.05 % fail", FINE | _requests("503", "0x10 0+1.5x590"), "7h", every="1m"),
        silent("Prometheus has just begun: one failed", YOUNG | _requests("503", "0x9 1x300"), "5m"),
        silent("half an hour later three have", YOUNG | _requests("503", "0x9 1x40 2x40 3x300"), "30m"),
    ),
    Alert(
        "ScaiVaultCategoryFailing",
        "page",
        "path_category:scaivault_request_errors:ratio_rate30m > <category_failed_share>\n"
        "and path_category:scaivault_request_errors:rate30m * 1800 >= <fewest_errors>",
        "1m",
        "Most requests of category {{ $labels.path_category }} fail",
        "{{ $value | humanizePercentage }} of the requests of category {{ $labels.path_category }} of the last 30 minutes were "
        "answered 5xx. To those who make them it is down, however few they are of all requests.",
        REQUESTS,
        (
            Seen(
                "there is little of it, and it all fails",
                FINE | _requests("503", "0+1x100", "rotation"),
                "20m",
                labels={"path_category": "rotation"},
                every="1m",
            ),
            silent("a third of it does", FINE | _few("0+2x100", "0+1x100"), "40m", every="1m"),
            silent("it failed for some minutes", FINE | _few("0+2x100", "0x20 0+2x4 8x80"), "40m", every="1m"),
            silent(
                "a few were made, and failed", FINE | _requests("503", "0x10 1 2 3 3x100", "audit"), "20m", every="1m"
            ),
        ),
    ),
    _slow(
        "Fast",
        "page",
        "burn_fast",
        ("1h", "5m"),
        Seen("a fifth is slow", _seconds("0+80x300", "0+100x300"), "1h", every="1m"),
        silent("a tenth is slow", _seconds("0+90x300", "0+100x300"), "1h", every="1m"),
        silent("nobody asks", _seconds("50x300", "60x300"), "1h", every="1m"),
        silent("nobody ever asked", {'up{job="scaivault"}': "1x300"}, "1h", every="1m"),
    ),
    _slow(
        "Slow",
        "ticket",
        "burn_medium",
        ("6h", "30m"),
        Seen("a tenth is slow", _seconds("0+90x400", "0+100x400"), "6h", every="1m"),
        silent("two of a hundred are", _seconds("0+98x400", "0+100x400"), "6h", every="1m"),
        silent("Prometheus has just begun: 16 are", _seconds("0x9 24x300", "0x9 40x300"), "6m"),
        Seen("a young one counts 100", _seconds("0+40x400", "0+50x400"), "15m", every="1m"),
    ),
)
