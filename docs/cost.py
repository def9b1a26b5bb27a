#!/usr/bin/env python3
"""Computes the tables under "Cost" in deploy.md from the prices and assumptions in prices.toml.

usage: docs/cost.py            checks that deploy.md has these tables
       docs/cost.py --write    writes them into it

`.ci/infra` runs the check.
"""

import sys
import tomllib
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "docs/deploy.md"

# HTTP_API and so on.
globals().update(tomllib.loads((ROOT / "docs/prices.toml").read_text(), parse_float=Decimal))


def alarm_metrics():
    """How many metrics the alarms of template.yaml watch, and how many of them are of sync-keys."""
    alarms = (ROOT / "template.yaml").read_text().partition("DashboardName")[0].split("Type: AWS::CloudWatch::Alarm")[1:]
    count = [alarm.count("MetricName:") for alarm in alarms]
    of_sync_keys = sum(number for alarm, number in zip(alarms, count) if "Condition: SyncsKeys" in alarm)
    return sum(count) - of_sync_keys, of_sync_keys


def cents(amount):
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def table(head, rows, after=()):
    """A table, and the sum of its rounded amounts."""
    lines = [f"| {head} | | |", "| --- | --- | --- |"]
    rows = [(name, how, cents(amount)) for name, how, amount in rows]
    lines += [f"| {name} | {how} | {amount} |" for name, how, amount in rows]
    total = sum(amount for _, _, amount in rows)
    lines.append(f"| **together** | | **{total}** |")
    lines += [f"| {name} | {how} | {cents(amount)} |" for name, how, amount in after]
    return "\n".join(lines), total


def requests():
    gb_seconds = 1_000_000 * MILLISECONDS * MEMORY_GB / 1000
    log_gb, traces = LOG_KB, 1_000_000 * TRACED_PERCENT // 100
    return table(
        "for a million requests",
        [
            ("HTTP API", f"1 M × {HTTP_API} / M", HTTP_API),
            ("Lambda, requests", f"1 M × {LAMBDA_REQUESTS} / M", LAMBDA_REQUESTS),
            (
                "Lambda, arm64",
                f"1 M × {MILLISECONDS / 1000:.3f} s × {MEMORY_GB} GB = {gb_seconds:,.0f} GB-s × {LAMBDA_GB_SECOND}",
                gb_seconds * LAMBDA_GB_SECOND,
            ),
            ("logs, written", f"1 M × {LOG_KB} KB = {log_gb} GB × {LOGS_WRITTEN}", log_gb * LOGS_WRITTEN),
            (
                "logs, kept for a year",
                f"{log_gb} GB × {MONTHS_KEPT} months × {LOGS_KEPT}",
                log_gb * MONTHS_KEPT * LOGS_KEPT,
            ),
            ("responses, to the internet", f"1 M × {RESPONSE_KB} KB = {RESPONSE_KB} GB × {TRAFFIC}", RESPONSE_KB * TRAFFIC),
            (
                f"X-Ray, {TRACED_PERCENT} % of requests (and one a second)",
                f"{traces:,} × {TRACES} / M",
                traces * TRACES / 1_000_000,
            ),
        ],
    )


def month():
    reads = ENVIRONMENTS * SECRETS * READS_PER_HOUR * HOURS
    metrics, (alarms, sync_alarms) = METRICS + METRICS_BY_OUTCOME * OUTCOMES, alarm_metrics()
    runs = 60 * HOURS
    sync_reads = runs + READS_PER_HOUR * HOURS
    sync_gb_seconds = runs * SYNC_SECONDS * SYNC_MEMORY_GB
    ring_reads = 3600 * HOURS
    shard_reads = SHARDS * HOURS
    return table(
        "for a month, whatever the traffic",
        [
            ("secrets", f"{SECRETS} × {SECRET}", SECRETS * SECRET),
            (
                f"reading them every 5 minutes, with {ENVIRONMENTS} environments always active",
                f"{ENVIRONMENTS} × {SECRETS} × {READS_PER_HOUR} × {HOURS} = {reads:,} × {SECRET_READS} / 10,000",
                reads * SECRET_READS / 10_000,
            ),
            (
                f"metrics: {METRICS} for the function, {METRICS_BY_OUTCOME} for each outcome that occurs, assumed {OUTCOMES}",
                f"{metrics} × {METRIC}",
                metrics * METRIC,
            ),
            ("alarms: metrics that they watch", f"{alarms} × {ALARM_METRIC}", alarms * ALARM_METRIC),
            ("dashboard", f"1 × {DASHBOARD}", DASHBOARD),
        ],
        [
            (
                "sync-keys every minute: a secret, alarms, reads, Lambda",
                f"{SECRET} + {sync_alarms} × {ALARM_METRIC} + {sync_reads:,} × {SECRET_READS} / 10,000 + "
                f"{sync_gb_seconds:,.0f} GB-s × {LAMBDA_GB_SECOND}",
                SECRET
                + sync_alarms * ALARM_METRIC
                + sync_reads * SECRET_READS / 10_000
                + sync_gb_seconds * LAMBDA_GB_SECOND,
            ),
            (
                "with it, reading the key ring every second, for each environment that is always active",
                f"3600 × {HOURS} = {ring_reads:,} × {SECRET_READS} / 10,000",
                ring_reads * SECRET_READS / 10_000,
            ),
            (
                f"{SHARDS} shards, read by sync-keys every hour",
                f"{SHARDS} × {SECRET} + {shard_reads:,} × {SECRET_READS} / 10,000",
                SHARDS * SECRET + shard_reads * SECRET_READS / 10_000,
            ),
            (
                "in a VPC: endpoint in two zones",
                f"{ZONES} × {HOURS} h × {ENDPOINT_HOUR}",
                ZONES * HOURS * ENDPOINT_HOUR,
            ),
            (
                "RDS Proxy for two vCPUs, with a third secret",
                f"{VCPUS} × {HOURS} h × {PROXY_HOUR} + {SECRET}",
                VCPUS * HOURS * PROXY_HOUR + SECRET,
            ),
            (
                "AWS WAF: a web ACL with three rules",
                f"{WEB_ACL} + {WAF_RULES} × {WAF_RULE}",
                WEB_ACL + WAF_RULES * WAF_RULE,
            ),
        ],
    )


def chapter():
    """The text between the two markers in deploy.md."""
    per_million, total = requests()
    rest = total - HTTP_API + REST_API
    passed = cents(HTTP_API) + cents(LOG_KB / 2 * (LOGS_WRITTEN + MONTHS_KEPT * LOGS_KEPT)) + cents(RESPONSE_KB * TRAFFIC)
    return (
        f"{per_million}\n\n"
        f"With little traffic X-Ray records nearly every request, which costs up to {TRACES} a million. With\n"
        f"`ApiType=rest` the first line is {REST_API} and the sum {rest}; AWS WAF adds {WAF_REQUESTS} a million.\n\n"
        f"A million requests that are passed to `UpstreamUrl` cost {passed} (with `ApiType=rest` {passed - HTTP_API + REST_API}):\n"
        f"the first line, one line of the log instead of two, and the responses. The old host costs what it did.\n\n"
        f"{month()[0]}\n"
    )


def main():
    start, end = "<!-- computed by docs/cost.py -->\n", "<!-- end -->\n"
    text = DEPLOY.read_text()
    before, _, rest = text.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        sys.exit(f"{DEPLOY} lacks the lines {start.strip()} and {end.strip()}")
    made = f"{before}{start}\n{chapter()}\n{end}{after}"
    if sys.argv[1:] == ["--write"]:
        DEPLOY.write_text(made)
    elif made != text:
        sys.exit("docs/deploy.md has other costs than docs/cost.py computes: run docs/cost.py --write")
    else:
        print("docs/deploy.md has the costs that docs/cost.py computes")


main()
