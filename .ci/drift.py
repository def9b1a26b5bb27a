"""Compares the Terraform module with template.yaml. Every difference must be in a table below, with its reason.

usage: drift.py [TERRAFORM], in the Python environment of the SAM CLI with python-hcl2

With a program TERRAFORM, it also tests the variables' own validations, in a folder without providers.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import hcl2
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
from managed_instances import managed  # noqa: E402

MODULE = ROOT / "terraform"

# The parameters of the template that have no variable.
NO_VARIABLE = {
    "ApiType": "the module has the HTTP API only",
    "WebAclArn": "the module has the HTTP API only",
    "GatewayValidation": "the module has the HTTP API only",
    "DeploymentType": "a new package serves all callers immediately",
    "DeploymentAlarms": "a new package serves all callers immediately",
    "Release": "Terraform publishes a version whenever the function changes",
    "DomainName": "the team's own aws_apigatewayv2_api_mapping, with the output api_id",
    "CertificateArn": "the same",
    "HostedZoneId": "the same",
    "RotationFunctionArn": "the secrets are the team's own",
    "RotationDays": "the secrets are the team's own",
    "DatabaseInstance": "the secrets are the team's own",
    "DatabaseCluster": "the secrets are the team's own",
    "DatabaseAuth": "iam when database_iam_user is given",
    "DatabaseUsername": "part of database_iam_user",
    "DatabaseResourceId": "part of database_iam_user",
    "ProxyInstance": "a proxy is the team's own; its endpoint is the secret's host",
    "ProxyCluster": "the same",
    "VpcId": "the variable vpc names subnets and security groups",
    "SubnetIds": "the variable vpc names subnets and security groups",
    "DatabaseSecurityGroupId": "the variable vpc names subnets and security groups",
    "SecretsEndpointSecurityGroupId": "the variable vpc names subnets and security groups",
}
# The variables that have no parameter.
NO_PARAMETER = {
    "name": "a stack has a name",
    "package": "sam build creates the package",
    "sync_keys_package": "sam build creates the package",
    "vpc": "replaces VpcId, SubnetIds and the security groups",
    "capacity_provider": "template.yaml is for classic Lambda; docs/managed_instances.py makes the other template",
    "database_iam_user": "replaces DatabaseAuth, DatabaseResourceId and DatabaseUsername",
}
# Differences between a parameter and its variable: (parameter, what) -> reason.
DIFFERENT = {
    ("ApiKeysSecretArn", "default"): "the module creates no secret, so the variable is required",
    ("DatabaseSecretArn", "default"): "the module creates no secret, so the variable is required",
    ("ApiKeysSecretArn", "pattern"): "the length of the name matters only to the description of the stack's versions",
    ("DatabaseSecretArn", "pattern"): "the length of the name matters only to the description of the stack's versions",
    ("ReservedConcurrency", "bounds"): "-1 reserves nothing in Terraform, where 0 would stop the function",
    ("DatabaseName", "bounds"): "its length matters only to the description of the stack's versions",
    ("SecretsKeyArn", "pattern"): "the variable's pattern has account and region too",
    ("LogsKeyArn", "pattern"): "the variable's pattern has account and region too",
    ("UpstreamUrl", "pattern"): "Terraform has no look-behind: the variable's second validation rejects /functions/v1",
}
# Values that the variables' validations must reject.
REJECTED = {
    "name": "1 with blanks",
    "architecture": "arm",
    "memory_size": 64,
    "timeout": 30,
    "query_timeout_ms": 0,
    "limit_max": 99,
    "secret_max_age_seconds": 0,
    "reserved_concurrency": 0,
    "log_level": "ERROR",
    "capacity_provider": '{arn = "chat"}',
    "throttling_rate_limit": 0,
    "throttling_burst_limit": 0,
    "upstream_url": "https://old.example.com/functions/v1",
    "upstream_serves": "none",
    "log_retention_days": 8,
    "latency_alarm_ms": 0,
    "api_keys_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:keys",
    "api_keys_shards": 2,
    "api_keys_max_age_seconds": 3601,
    "sync_keys_database_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:sync",
    "sync_keys_schedule": "rate(1 hour)",
    "database_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:login",
    "jwt_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:jwt",
    "jwks_url": "http://project.supabase.co/auth/v1/.well-known/jwks.json",
    "jwt_audience": "",
    "database_host": "postgresql://db.example.com",
    "database_port": 0,
    "secrets_manager_url": "vpce.example.com",
    "secrets_key_arn": "alias/key",
    "logs_key_arn": "alias/key",
    "alarm_topic_arn": "topic",
    "database_iam_user": "list_chat_sessions",
}
GIVEN = {
    "package": "bootstrap.zip",
    "api_keys_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:keys-AbCdEf",
    "database_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-0123-AbCdEf",
}

faults = []


def same(what, template, module):
    if template != module:
        faults.append(f"{what}: template.yaml has {template}, terraform {module}")


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def http(node, upstream=False, serves_list=True):
    """A part of the template as it is with ApiType=http, without AWS::NoValue."""
    known = {
        "IsHttp": True,
        "HasAlarmTopic": True,
        "HasUpstream": upstream,
        "ServesList": serves_list,
        "ServesBelowList": upstream and serves_list,
    }
    if isinstance(node, dict):
        if set(node) == {"Fn::If"}:
            condition, yes, no = node["Fn::If"]
            return http(yes if known[condition] else no, upstream, serves_list) if condition in known else node
        pairs = {key: http(value, upstream, serves_list) for key, value in node.items()}
        return {key: value for key, value in pairs.items() if value != {"Ref": "AWS::NoValue"}}
    return [http(value, upstream, serves_list) for value in node] if isinstance(node, list) else node


def limits(text):
    """Bounds, allowed values and pattern of a variable's validation."""
    low, high = re.search(r">= (-?\d+)", text), re.search(r"<= (-?\d+)", text)
    allowed = re.search(r"contains\(\[([^\]]*)\]", text)
    pattern = re.search(r'regex\("(.*?)", var', text)
    return {
        "bounds": (low and int(low[1]), high and int(high[1])),
        "allowed": allowed and [value.strip(' "') for value in allowed[1].split(",")],
        "pattern": pattern and re.sub(r"^\^|\$$", "", pattern[1]),
    }


def check_parameters(parameters, variables):
    names = {snake(name): name for name in parameters}
    same(
        "parameters without a variable",
        sorted(set(parameters) - {names[v] for v in variables if v in names}),
        sorted(NO_VARIABLE),
    )
    same("variables without a parameter", sorted(NO_PARAMETER), sorted(set(variables) - set(names)))
    used = set()
    for variable, body in variables.items():
        if variable not in names:
            continue
        name = names[variable]
        declared = parameters[name]
        found = limits(body.get("validation", [{}])[0].get("condition", ""))
        pattern = declared.get("AllowedPattern")
        optional = re.sub(r"^\((.*)\)\?$", r"\1", pattern) if pattern else None
        bounds = (
            declared.get("MinValue", declared.get("MinLength")),
            declared.get("MaxValue", declared.get("MaxLength")),
        )
        pairs = {
            "default": (
                declared.get("Default") or None,
                (body["default"] or None) if "default" in body else "required",
            ),
            "bounds": (bounds if name != "DatabaseHost" else (None, None), found["bounds"]),
            "allowed": (
                [str(value) for value in declared["AllowedValues"]] if "AllowedValues" in declared else None,
                found["allowed"],
            ),
            "pattern": (optional, found["pattern"] and re.sub(r"^\((.*)\)\?$", r"\1", found["pattern"])),
        }
        for what, (template, module) in pairs.items():
            if (name, what) in DIFFERENT:
                used.add((name, what))
                if template == module:
                    faults.append(f"{name}: the {what} is the same now; remove it from DIFFERENT")
            else:
                same(f"{what} of {name}", template, module)
    same("differences that this script knows", sorted(DIFFERENT), sorted(used))


def numbered(expression, metrics):
    """An expression and its metrics with IDs in order of appearance, because the IDs themselves may differ."""
    number = {name: f"m{index}" for index, name in enumerate(sorted(metrics, key=expression.index))}
    expression = re.sub(r"\w+", lambda word: number.get(word[0], word[0]), expression)
    return {"expression": expression, "metrics": {number[name]: metric for name, metric in metrics.items()}}


def template_alarms(resources):
    """Yields the template's alarms by name, each as a dictionary of everything that decides when it goes off."""
    for resource in resources.values():
        if resource["Type"] != "AWS::CloudWatch::Alarm" or resource.get("Condition") == "SyncsKeys":
            continue
        alarm = http(resource["Properties"])
        threshold = alarm["Threshold"]
        shape = {
            "threshold": "${var.latency_alarm_ms}" if threshold == {"Ref": "LatencyAlarmMs"} else threshold,
            "periods": alarm["EvaluationPeriods"],
            "datapoints": alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]),
            "comparison": alarm["ComparisonOperator"],
            "missing": alarm["TreatMissingData"],
            "low samples": alarm.get("EvaluateLowSampleCountPercentile"),
        }
        if "Metrics" in alarm:
            (expression,) = (metric["Expression"] for metric in alarm["Metrics"] if "Expression" in metric)
            metrics = {}
            for one in alarm["Metrics"]:
                if stat := one.get("MetricStat"):
                    metric = stat["Metric"]
                    names = {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}
                    outcome = names.get("Outcome")
                    what = (metric["Namespace"], metric["MetricName"], sorted(names), outcome)
                    metrics[one["Id"]] = (*what, stat["Stat"], stat["Period"])
            shape |= numbered(expression, metrics)
        else:
            statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
            names = sorted(dimension["Name"] for dimension in alarm["Dimensions"])
            shape["metric"] = (alarm["Namespace"], alarm["MetricName"], names, statistic, alarm["Period"])
        yield alarm["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-"), shape


def outcome_metrics(loop):
    """Yields the metrics of `{ for outcome in [...] : outcome => { ... } }`, which the parser leaves as text."""

    def value(key):
        return re.search(rf'"?{key}"?\s*[:=]\s*"([^"]*)"', loop)[1]

    names = sorted(name for name in ("FunctionName", "Outcome", "ApiId") if name in loop)
    for outcome in re.search(r"in \[([^\]]*)\]", loop)[1].split(","):
        outcome = outcome.strip(' "')
        yield outcome, (value("namespace"), value("metric"), names, outcome)


def module_alarms(module):
    """Yields the module's alarms, in the form of template_alarms()."""
    (local,) = (block for block in module["locals"] if "alarms" in block)
    single, math = (module["resource"]["aws_cloudwatch_metric_alarm"][name] for name in ("this", "expression"))
    ignores_low_samples = "ignore" in single.get("evaluate_low_sample_count_percentiles", "")
    for name, alarm in local["alarms"].items():
        names, statistic = sorted(alarm["dimensions"]), alarm["statistic"]
        yield (
            name,
            {
                "threshold": alarm["threshold"],
                "periods": alarm["periods"],
                "datapoints": alarm["datapoints"],
                "comparison": single["comparison_operator"],
                "missing": single["treat_missing_data"],
                "low samples": "ignore" if ignores_low_samples and statistic.startswith("p") else None,
                "metric": (alarm["namespace"], alarm["metric"], names, statistic, alarm["period"]),
            },
        )
    query = math["dynamic"][0]["metric_query"]["content"][0]["metric"][0]
    for name, alarm in local["expression_alarms"].items():
        metrics = alarm["metrics"]
        if isinstance(metrics, str):
            metrics = dict(outcome_metrics(metrics))
        else:
            metrics = {
                key: (one["namespace"], one["metric"], sorted(one["dimensions"]), None) for key, one in metrics.items()
            }
        metrics = {key: (*metric, query["stat"], query["period"]) for key, metric in metrics.items()}
        yield (
            name,
            {
                "threshold": alarm["threshold"],
                "periods": math["evaluation_periods"],
                "datapoints": math["datapoints_to_alarm"],
                "comparison": math["comparison_operator"],
                "missing": math["treat_missing_data"],
                "low samples": None,
                **numbered(alarm["expression"], metrics),
            },
        )


def check_alarms(resources, module):
    alarms, others = dict(template_alarms(resources)), dict(module_alarms(module))
    same("alarms", sorted(alarms), sorted(others))
    for name in alarms.keys() & others.keys():
        for part in alarms[name].keys() | others[name].keys():
            same(f"{part} of the alarm {name}", alarms[name].get(part), others[name].get(part))


def statements(policy):
    """Yields the template's IAM statements by name: effect, actions, whether for all resources, keys of conditions."""
    for statement in policy:
        statement = statement["Fn::If"][1] if "Fn::If" in statement else statement
        actions = statement["Action"]
        yield (
            statement["Sid"],
            (
                statement["Effect"],
                sorted([actions] if isinstance(actions, str) else actions),
                statement["Resource"] == "*",
                sorted((operator, *keys) for operator, keys in statement.get("Condition", {}).items()),
            ),
        )


def module_statements(document):
    conditional = [block["statement"]["content"][0] for block in document["dynamic"]]
    for statement in document["statement"] + conditional:
        yield (
            statement["sid"],
            (
                statement.get("effect", "Allow"),
                sorted(statement["actions"]),
                statement["resources"] == ["*"],
                sorted((condition["test"], condition["variable"]) for condition in statement.get("condition", [])),
            ),
        )


def check_function(resources, module):
    function = resources["Function"]["Properties"]
    other = module["resource"]["aws_lambda_function"]["this"]
    environment = other["environment"][0]["variables"]
    # The module serves both kinds of Lambda.
    both = yaml_parse(managed((ROOT / "template.yaml").read_text()))["Resources"]["Function"]["Properties"]
    same(
        "environment variables",
        sorted(both["Environment"]["Variables"]),
        sorted(set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", environment))),
    )
    logging, module_logging = function["LoggingConfig"], other["logging_config"][0]
    pairs = {
        "runtime": (function["Runtime"], other["runtime"]),
        "handler": (function["Handler"], other["handler"]),
        "tracing": (function["Tracing"], other["tracing_config"][0]["mode"]),
        "log format": (logging["LogFormat"], module_logging["log_format"]),
        "system log level": (logging["SystemLogLevel"], module_logging["system_log_level"]),
        "alias": (function["AutoPublishAlias"], module["resource"]["aws_lambda_alias"]["live"]["name"]),
    }
    for what, (template, terraform) in pairs.items():
        same(what, template, terraform)
    policy = resources["FunctionRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    same(
        "IAM statements",
        dict(statements(policy)),
        dict(module_statements(module["data"]["aws_iam_policy_document"]["function"])),
    )


def template_routes(paths):
    """Yields the routes of the template, each with its integration: type, payload format, URI of an upstream."""
    for path, methods in paths.items():
        for method, operation in methods.items():
            one = operation["x-amazon-apigateway-integration"]
            kind = one["type"].upper()
            uri = one["uri"]["Fn::Sub"].replace("${UpstreamUrl}", "") if kind == "HTTP_PROXY" else None
            method = method.replace("x-amazon-apigateway-any-method", "ANY").upper()
            yield f"{method} {path}", (kind, one["payloadFormatVersion"], uri)


def module_routes(module, upstream, serves_list):
    """Yields the module's routes, in the form of template_routes()."""
    integrations = module["resource"]["aws_apigatewayv2_integration"]
    for name, route in module["resource"]["aws_apigatewayv2_route"].items():
        # By the text of its condition, from which the parser removes quotes.
        exists = {
            "${var.upstream_serves == all ? toset([]) : toset([POST, OPTIONS])}": serves_list,
            "${var.upstream_url == null || var.upstream_serves == all ? toset([]) : toset([, /{proxy+}])}": upstream
            and serves_list,
            "${var.upstream_url == null ? 0 : 1}": upstream,
        }
        condition = route.get("for_each", route.get("count")).replace('"', "").replace("None", "null")
        if condition not in exists:
            faults.append(f"route {name}: this script does not know the condition {condition}")
        if exists.get(condition):
            integration = integrations[re.search(r"aws_apigatewayv2_integration\.(\w+)", route["target"])[1]]
            kind = integration["integration_type"]
            uri = integration["integration_uri"].replace("${var.upstream_url}", "") if kind == "HTTP_PROXY" else None
            # "1.0" is the provider's default.
            what = (kind, integration.get("payload_format_version", "1.0"), uri)
            keys = re.search(r"\[([^]]+)\]", condition)
            for key in keys[1].split(", ") if keys else [""]:
                yield route["route_key"].replace("${each.key}", key), what


def check_sync_keys(resources, module):
    """Compares sync-keys, which exists only with its own secret."""
    function, role = resources["SyncKeys"]["Properties"], resources["SyncKeysRole"]["Properties"]
    other = module["resource"]["aws_lambda_function"]["sync_keys"]
    variables = other["environment"][0]["variables"]
    same(
        "environment variables of sync-keys",
        sorted(function["Environment"]["Variables"]),
        sorted(set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", variables))),
    )
    for name, value in (("MemorySize", "memory_size"), ("Timeout", "timeout")):
        same(f"{name} of sync-keys", function[name], other[value])
    same(
        "IAM statements of sync-keys",
        dict(statements(role["Policies"][0]["PolicyDocument"]["Statement"])),
        dict(module_statements(module["data"]["aws_iam_policy_document"]["sync_keys"])),
    )
    invoke = module["resource"]["aws_lambda_function_event_invoke_config"]["sync_keys"]
    retry = module["resource"]["aws_cloudwatch_event_target"]["sync_keys"]["retry_policy"][0]
    (event,) = function["Events"].values()
    for what, template, terraform in (
        ("retries of sync-keys", function["EventInvokeConfig"], invoke),
        ("retries of its events", event["Properties"]["RetryPolicy"], retry),
    ):
        same(what, {snake(name): value for name, value in template.items()}, {k: terraform[k] for k in map(snake, template)})
    for resource, name in (("SyncKeysErrorAlarm", "sync_keys_errors"), ("SyncKeysMissingAlarm", "sync_keys_not_running")):
        alarm, terraform = resources[resource]["Properties"], module["resource"]["aws_cloudwatch_metric_alarm"][name]
        for part in (
            "Namespace MetricName Statistic Period ComparisonOperator Threshold EvaluationPeriods TreatMissingData".split()
        ):
            same(f"{part} of {resource}", alarm[part], terraform[snake(part)])


def check_api(resources, module):
    api = resources["HttpApi"]["Properties"]
    stage = module["resource"]["aws_apigatewayv2_stage"]["default"]
    settings, other = api["DefaultRouteSettings"], stage["default_route_settings"][0]
    same("detailed metrics", settings["DetailedMetricsEnabled"], other["detailed_metrics_enabled"])
    for limit in ("ThrottlingRateLimit", "ThrottlingBurstLimit"):
        same(
            limit,
            settings[limit],
            {"Ref": limit} if other[snake(limit)] == f"${{var.{snake(limit)}}}" else other[snake(limit)],
        )
    log = json.loads(api["AccessLogSettings"]["Format"])
    other = dict(re.findall(r'"?(\w+)"?\s*[:=]\s*"(\$context[^"]*)"', stage["access_log_settings"][0]["format"]))
    same("access log", dict(sorted(log.items())), dict(sorted(other.items())))
    for upstream, serves_list in ((False, True), (True, True), (True, False)):
        what = f"routes with upstream={upstream} and list-chat-sessions={serves_list}"
        routes = dict(template_routes(http(api["DefinitionBody"]["paths"], upstream, serves_list)))
        if not serves_list:
            # The template needs one for `sam local`; without it the upstream gets these requests as well.
            routes.pop("ANY /functions/v1/list-chat-sessions")
        same(what, routes, dict(module_routes(module, upstream, serves_list)))
    for group, name in (("FunctionLogs", "function"), ("AccessLogs", "access")):
        template = resources[group]["Properties"]["LogGroupName"]["Fn::Sub"].replace("${AWS::StackName}", "")
        same(
            f"log group {name}",
            template,
            module["resource"]["aws_cloudwatch_log_group"][name]["name"].replace("${var.name}", ""),
        )
    name = module["variable"]["name"]["default"]
    stack = re.search(r'stack_name = "(.*)"', (ROOT / "samconfig.toml").read_text())[1]
    if name == stack:
        faults.append(f"the module's default name is the stack's, {stack}: they could not be in one account")


def check_validations(terraform):
    """Tests the validations with Terraform itself. A module of only variables needs no provider."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "variables.tf").write_text((MODULE / "variables.tf").read_text())

        def plan(variables):
            arguments = [f"-var={name}={value}" for name, value in variables.items()]
            command = [terraform, f"-chdir={folder}", "plan", "-input=false", "-no-color", *arguments]
            return subprocess.run(command, capture_output=True, text=True)

        subprocess.run([terraform, f"-chdir={folder}", "init", "-input=false"], check=True, capture_output=True)
        accepted = plan(GIVEN)
        if accepted.returncode:
            faults.append(f"the variables' defaults are rejected: {accepted.stderr}")
        # One run with all wrong values, whose error must name each variable.
        rejected = plan(GIVEN | REJECTED)
        named = set(re.findall(r'variable "(\w+)"', rejected.stderr))
        same("variables with a validation that rejects", sorted(REJECTED), sorted(named))


def merged(blocks):
    """Blocks of one kind by their labels."""
    out = {}
    for block in blocks:
        for kind, named in block.items():
            out.setdefault(kind, {}).update(named)
    return out


def main():
    template = yaml_parse((ROOT / "template.yaml").read_text())
    blocks = {"resource": [], "data": [], "locals": [], "variable": []}
    for file in sorted(MODULE.glob("*.tf")):
        with file.open() as text:
            for kind, found in hcl2.load(text).items():
                blocks.setdefault(kind, []).extend(found)
    module = {kind: merged(blocks[kind]) for kind in ("resource", "data")}
    module["locals"] = blocks["locals"]
    module["variable"] = {name: body for block in blocks["variable"] for name, body in block.items()}

    check_parameters(template["Parameters"], module["variable"])
    check_alarms(template["Resources"], module)
    check_function(template["Resources"], module)
    check_sync_keys(template["Resources"], module)
    check_api(template["Resources"], module)
    if sys.argv[1:]:
        check_validations(sys.argv[1])
    print(f"{len(module['variable'])} variables, {len(faults)} differences without a reason")
    for text in faults:
        print(text, file=sys.stderr)
    sys.exit(bool(faults))


main()
