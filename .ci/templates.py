"""Finds what CloudFormation would reject in template.yaml and rest-api.yaml, without an account.

usage: templates.py, in the Python environment of the SAM CLI

It checks the template for Managed Instances, which docs/managed_instances.py makes, in the same way.

SAM's own translator produces the template that CloudFormation gets, for each combination of parameters. Then this script
evaluates what CloudFormation evaluates without creating anything: rules, conditions, references, order of creation.
"""

import copy
import itertools
import logging
import re
import sys
from pathlib import Path

import boto3
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
from managed_instances import managed  # noqa: E402

ROUTE = "/functions/v1/list-chat-sessions"
MAX_VERSION_DESCRIPTION = 256
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"
UPSTREAM = "https://old.example.com/base"

# Not in a version's description, so a change of only these publishes no version. docs/deploy.md names them.
NEED_A_RELEASE = {"SubnetIds", "SecretsManagerUrl", "JwksUrl", "JwtIssuer", "JwtAudience"}

IN_VPC = {
    "VpcId": "vpc-01234567",
    "SubnetIds": "subnet-1,subnet-2",
    "DatabaseSecurityGroupId": "sg-1",
    "SecretsEndpointSecurityGroupId": "sg-2",
}
ROTATES = {"RotationFunctionArn": "arn:aws:lambda:eu-central-1:123456789012:function:rotate"}

# Values of the parameters that conditions and rules read. Every combination that the rules accept is translated.
CHOICES = [
    [
        {"ApiType": "http"},
        {"ApiType": "rest"},
        {"ApiType": "rest", "WebAclArn": "arn:aws:wafv2:waf", "GatewayValidation": "true"},
        {"ApiType": "http", "UpstreamUrl": UPSTREAM},
        {"ApiType": "rest", "UpstreamUrl": UPSTREAM, "UpstreamServes": "all"},
    ],
    [
        {"SyncKeysDatabaseSecretArn": SECRET + "sync-AbCdEf"},
        {"ApiKeysSecretArn": SECRET + "keys-AbCdEf", "SecretsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1"},
        {"ApiKeysSecretArn": SECRET + "keys-{shard}", "ApiKeysShards": 256},
    ],
    [{"DatabaseHost": "db.example.com"}, {"DatabaseSecretArn": SECRET + "login-AbCdEf"}],
    [
        {},
        {"JwtSecretArn": SECRET + "jwt-AbCdEf", "JwtIssuer": "https://p.supabase.co/auth/v1"},
        {"JwksUrl": "https://p.supabase.co/jwks.json", "JwtIssuer": "https://p.supabase.co/auth/v1"},
    ],
    [
        {},
        {"DatabaseAuth": "iam", "DatabaseResourceId": "db-ABC"},
        {"DatabaseAuth": "iam", "ProxyInstance": "db"},
        {"DatabaseAuth": "iam", "ProxyCluster": "db"},
    ],
    [{}, IN_VPC],
    [{}, ROTATES],
    [{}, {"DatabaseInstance": "db"}, {"DatabaseCluster": "db"}],
    [
        {"ReservedConcurrency": 0},
        {
            "DomainName": "api.example.com",
            "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/1",
            "DeploymentAlarms": "ignore",
        },
        {
            "DomainName": "api.example.com",
            "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/1",
            "HostedZoneId": "Z1",
            "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:t",
            "LogsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1",
        },
    ],
]

# Parameters that a rule must reject, with words of its reason.
REJECTED = [
    ({}, "Give DatabaseSecretArn, or DatabaseHost"),
    ({"DatabaseHost": "h", "DatabaseUsername": "other"}, "is for the role list_chat_sessions"),
    ({"DatabaseHost": "h", "DatabaseAuth": "iam"}, "needs DatabaseResourceId"),
    ({"DatabaseHost": "h", "ProxyInstance": "db"}, "A proxy needs DatabaseAuth=iam and a VPC"),
    ({"DatabaseHost": "h", "ProxyInstance": "db", "DatabaseAuth": "iam"} | IN_VPC, "a secret whose role exists"),
    (
        {"DatabaseSecretArn": SECRET + "a-AbCdEf", "ProxyInstance": "db", "ProxyCluster": "c", "DatabaseAuth": "iam"}
        | IN_VPC,
        "not both",
    ),
    (
        {"DatabaseHost": "h", "DatabaseAuth": "iam", "DatabaseResourceId": "db-A", "DatabaseInstance": "db"}
        | ROTATES,
        "nothing uses the password",
    ),
    ({"DatabaseHost": "h"} | ROTATES, "reads the host from the secret"),
    ({"DatabaseHost": "h", "DatabaseInstance": "db", "DatabaseCluster": "c"}, "not both"),
    ({"DatabaseHost": "h"} | IN_VPC | {"SubnetIds": ""}, "A VPC needs SubnetIds"),
    ({"DatabaseHost": "h", "JwksUrl": "https://p", "JwtSecretArn": "a", "JwtIssuer": "i"}, "JwtSecretArn or JwksUrl, not"),
    ({"DatabaseHost": "h", "JwksUrl": "https://p"}, "need JwtIssuer"),
    ({"DatabaseHost": "h", "JwtSecretArn": "a"}, "need JwtIssuer"),
    ({"DatabaseHost": "h", "JwtIssuer": "i"}, "JwtIssuer needs"),
    ({"DatabaseHost": "h", "ApiKeysShards": 16}, "needs ApiKeysSecretArn with {shard}"),
    ({"DatabaseHost": "h", "WebAclArn": "arn:aws:wafv2:waf"}, "need ApiType=rest"),
    ({"DatabaseHost": "h", "GatewayValidation": "true"}, "need ApiType=rest"),
    ({"DatabaseHost": "h", "DomainName": "api.example.com"}, "needs DomainName and CertificateArn"),
    ({"DatabaseHost": "h", "HostedZoneId": "Z1"}, "needs DomainName and CertificateArn"),
    ({"DatabaseHost": "h", "UpstreamServes": "all"}, "needs UpstreamUrl"),
]

# Values that a parameter's own pattern or bounds must reject, and values that they must accept.
IMPOSSIBLE = [
    ("ApiKeysSecretArn", SECRET + "keys"),
    ("ApiKeysSecretArn", SECRET + "keys-{shard}-{shard}"),
    ("SyncKeysDatabaseSecretArn", SECRET + "login"),
    ("SyncKeysSchedule", "rate(1 hour)"),
    ("DatabaseSecretArn", SECRET + "login"),
    ("DatabaseSecretArn", "login"),
    ("JwtSecretArn", SECRET + "jwt"),
    ("JwksUrl", "http://project.supabase.co/auth/v1/.well-known/jwks.json"),
    ("LogLevel", "ERROR"),
    ("DatabaseHost", "postgresql://db.example.com"),
    ("DatabaseHost", "db.example.com:5432"),
    ("DatabasePort", 0),
    ("SubnetIds", "subnet-1, subnet-2"),
    ("VpcId", "my-vpc"),
    ("DomainName", "https://api.example.com"),
    ("UpstreamUrl", "http://old.example.com"),
    ("UpstreamUrl", "old.example.com"),
    ("UpstreamUrl", "https://old.example.com/"),
    ("UpstreamUrl", "https://old.example.com/functions/v1"),
    ("UpstreamUrl", "https://old.example.com/base?a=b"),
    ("UpstreamUrl", "https://user:password@old.example.com"),
]
POSSIBLE = [
    ("ApiKeysSecretArn", SECRET + "prod/keys-{shard}"),
    ("SyncKeysSchedule", "rate(15 minutes)"),
    ("DatabaseSecretArn", SECRET + "rds!cluster-01234567-89ab-cdef-0123-456789abcdef-AbCdEf"),
    ("DatabaseSecretArn", "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:prod/chat/login-AbCdEf"),
    ("DatabaseHost", "chat.cluster-c1xcjtmyvhpl.eu-central-1.rds.amazonaws.com"),
    ("DatabaseHost", "10.0.0.5"),
    ("SubnetIds", "subnet-0123456789abcdef0,subnet-0123456789abcdef1"),
    ("VpcId", "vpc-0123456789abcdef0"),
    ("UpstreamUrl", "https://abcdefghijklmnopqrst.supabase.co"),
    ("UpstreamUrl", "https://old.example.com:8443/base/v2"),
]

# The longest value of each part of a version's description, with the stack's own secret or with another one.
LONGEST = {
    "Architecture": "x86_64",
    "LogLevel": "DEBUG",
    "DatabaseAuth": "iam",
    "DatabaseResourceId": "db-A",
    "VpcId": "vpc-0123456789abcdef0",
    "ApiKeysSecretArn": SECRET + "k" * 48 + "-AbCdEf",
    "JwksUrl": "https://project.supabase.co/auth/v1/.well-known/jwks.json",
    "DatabaseHost": "h" * 63 + ".example.com",
    "DatabaseName": "n" * 63,
}

# For the template for Managed Instances: parameters that a rule must reject.
PROVIDER = {"CapacityProviderArn": "arn:aws:lambda:eu-central-1:123456789012:capacity-provider:chat"}
REJECTED_ON_INSTANCES = [
    (IN_VPC, "are the capacity provider's"),
    ({"MemoryGiBPerVCpu": 4}, "MemorySize must be at least"),
    ({"MemorySize": 4096, "MemoryGiBPerVCpu": 8}, "MemorySize must be at least"),
]
IMPOSSIBLE_ON_INSTANCES = [
    ("CapacityProviderArn", "chat"),
    ("MemorySize", 1024),
    ("MemoryGiBPerVCpu", 1),
    ("EnvironmentConcurrency", 1),
    ("DatabasePoolSize", 65),
]

faults = []


def fault(text):
    faults.append(text)


def load(name):
    return yaml_parse((ROOT / name).read_text())


class Stack:
    """One translated template with the values of its parameters, evaluated as CloudFormation would."""

    def __init__(self, template, parameters):
        self.template = template
        self.given = parameters
        self.parameters = {
            name: parameters.get(name, declared.get("Default")) for name, declared in template["Parameters"].items()
        }
        self.values = {}

    def condition(self, name):
        if name not in self.values:
            self.values[name] = self.test(self.template["Conditions"][name])
        return self.values[name]

    def test(self, node):
        ((function, arguments),) = node.items()
        if function == "Condition":
            return self.condition(arguments)
        if function == "Fn::Equals":
            left, right = (self.parameters[side["Ref"]] if isinstance(side, dict) else side for side in arguments)
            return str(left) == str(right)
        return {"Fn::Not": lambda all_: not all_[0], "Fn::And": all, "Fn::Or": any}[function](
            [self.test(one) for one in arguments]
        )

    def rejections(self):
        """Yields why CloudFormation's rules reject these parameters."""
        for rule in self.template.get("Rules", {}).values():
            if "RuleCondition" not in rule or self.test(rule["RuleCondition"]):
                for assertion in rule["Assertions"]:
                    if not self.test(assertion["Assert"]):
                        yield assertion["AssertDescription"]

    def exists(self, item):
        return "Condition" not in item or self.condition(item["Condition"])

    def resources(self):
        return {name: one for name, one in self.template["Resources"].items() if self.exists(one)}

    def chosen(self, node):
        """The node with each Fn::If replaced by its branch, and without AWS::NoValue."""
        nothing = {"Ref": "AWS::NoValue"}
        if isinstance(node, dict):
            if set(node) == {"Fn::If"}:
                name, yes, no = node["Fn::If"]
                return self.chosen(yes if self.condition(name) else no)
            pairs = ((key, self.chosen(value)) for key, value in node.items())
            return {key: value for key, value in pairs if value != nothing}
        if isinstance(node, list):
            return [value for value in map(self.chosen, node) if value != nothing]
        return node

    def text(self, node):
        """The value of a node that refers to parameters only; None if it refers to an attribute of a resource."""
        node = self.chosen(node)
        if not isinstance(node, dict):
            return str(node)
        ((function, arguments),) = node.items()
        if function == "Ref":
            value = self.parameters.get(arguments)
            return None if value is None else str(value)
        if function == "Fn::Sub":
            text, more = arguments if isinstance(arguments, list) else (arguments, {})
            names = {name: {"Ref": name} for name in re.findall(r"\$\{([^!}]+)\}", text)} | more
            values = {name: self.text(value) for name, value in names.items()}
            return None if None in values.values() else re.sub(r"\$\{([^!}]+)\}", lambda name: values[name[1]], text)
        if function == "Fn::Select":
            index, parts = arguments
            if "Fn::Split" in parts:
                separator, whole = parts["Fn::Split"]
                whole = self.text(whole)
                if whole is not None:
                    parts = whole.split(separator)
                    return parts[int(index)] if int(index) < len(parts) else fault(f"Fn::Select of {index} in {parts}")
        return None


def references(node):
    """Yields the names of the resources and parameters that a node refers to."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref":
                yield value
            elif key == "Fn::GetAtt":
                yield (value if isinstance(value, list) else value.split("."))[0]
            elif key == "Fn::Sub":
                text, given = value if isinstance(value, list) else (value, {})
                yield from (name.split(".")[0] for name in re.findall(r"\$\{([^!}]+)\}", text) if name not in given)
                yield from references(given)
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def nulls(node, path=""):
    if node is None:
        yield path
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield from nulls(value, f"{path}/{key}")


def selects(node):
    """Yields every Fn::Select, also in branches that are not taken."""
    pairs = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and set(node) == {"Fn::Select"}:
        yield node
    for value in pairs:
        yield from selects(value)


def translate(template, parameters):
    """The template that SAM produces for CloudFormation."""
    template = copy.deepcopy(template)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
        if resource["Type"] == "AWS::Serverless::Application":
            resource["Properties"]["Location"] = "https://bucket.s3.amazonaws.com/key"
    session = boto3.session.Session(region_name="eu-central-1")
    values = {name: str(value) for name, value in parameters.items()}
    return Translator({}, Parser(), boto_session=session).translate(template, values)


def check(name, stack):
    """Finds what CloudFormation would reject in one translated stack."""
    label = f"{name} with {stack.given}"
    for path in nulls(stack.template):
        fault(f"{name}: null at {path}, which CloudFormation rejects")
    resources = stack.resources()
    outputs = {key: one for key, one in stack.template.get("Outputs", {}).items() if stack.exists(one)}
    needs = {}
    for key, item in list(resources.items()) + [(f"output {key}", one) for key, one in outputs.items()]:
        body = stack.chosen({part: value for part, value in item.items() if part not in ("Condition", "DependsOn")})
        depends = item.get("DependsOn", [])
        needs[key] = set(references(body)) | set([depends] if isinstance(depends, str) else depends)
        for target in needs[key]:
            if target not in resources and target not in stack.parameters and not target.startswith("AWS::"):
                fault(f"{label}: {key} refers to {target}, which is not created")
        for select in selects(item):
            stack.text(select)
    # Create resources in an order that respects every reference. The rest is circular.
    left = {key: needs[key] & set(resources) for key in resources}
    while ready := [key for key, wanted in left.items() if not wanted & set(left)]:
        for key in ready:
            del left[key]
    if left:
        fault(f"{label}: circular dependency between {sorted(left)}")


def accepts(declared, value):
    """Whether a parameter's own pattern and bounds accept a value."""
    if "AllowedValues" in declared:
        return value in declared["AllowedValues"]
    if declared["Type"] == "Number":
        return declared.get("MinValue", value) <= value <= declared.get("MaxValue", value)
    short_enough = declared.get("MinLength", 0) <= len(value) <= declared.get("MaxLength", len(value))
    return short_enough and bool(re.fullmatch(declared.get("AllowedPattern", ".*"), value))


def version_description(template, parameters):
    """The description of the version that these parameters publish, and the function's resolved properties."""
    stack = Stack(template, parameters)
    function = template["Resources"]["Function"]["Properties"]
    properties = {
        key: value
        for key, value in function.items()
        if key not in ("VersionDescription", "DeploymentPreference", "Description")
    }
    seen = {key: stack.parameters.get(key) for key in references(stack.chosen(properties))}
    return stack.text(function["VersionDescription"]), (stack.chosen(properties), seen)


def check_managed_instances(accepted):
    """Checks the template for Managed Instances with the combinations that template.yaml accepts, without a VPC."""
    template = yaml_parse(managed((ROOT / "template.yaml").read_text()))
    given = {"DatabaseHost": "h"} | PROVIDER
    for parameters, words in REJECTED_ON_INSTANCES:
        if not any(words in reason for reason in Stack(template, given | parameters).rejections()):
            fault(f"no rule of managed-instances.yaml rejects {parameters} with the words '{words}'")
    for name, value in IMPOSSIBLE_ON_INSTANCES:
        if accepts(template["Parameters"][name], value):
            fault(f"managed-instances.yaml: {name} accepts {value}")
    count, translated = 0, {}
    for parameters in accepted:
        parameters = {name: value for name, value in parameters.items() if name != "ReservedConcurrency"} | PROVIDER
        if list(Stack(template, parameters).rejections()):
            continue
        count += 1
        kind = parameters["ApiType"], parameters.get("DeploymentAlarms"), parameters.get("DatabaseAuth")
        if kind not in translated:
            translated[kind] = translate(template, parameters)
        check("managed-instances.yaml", Stack(translated[kind], parameters))
    print(f"the rules of managed-instances.yaml accept {count} combinations")
    resources = next(iter(translated.values()))["Resources"]
    function = resources["Function"]["Properties"]
    config = function["CapacityProviderConfig"]["LambdaManagedInstancesCapacityProviderConfig"]
    if not config["CapacityProviderArn"] or "VpcConfig" in function or "ReservedConcurrentExecutions" in function:
        fault(f"managed-instances.yaml: the function is {function}")
    for version in (one for name, one in resources.items() if name.startswith("FunctionVersion")):
        if version["DeletionPolicy"] != "Delete" or "UpdateReplacePolicy" in version:
            fault("managed-instances.yaml keeps old versions, whose instances cost money")
    check_version_length(template, PROVIDER | {"MemorySize": 32768})


def check_version_length(template, parameters):
    """Prints the length of the longest description of a version."""
    declared = template["Parameters"]
    numbers = {name: one["MaxValue"] for name, one in declared.items() if one["Type"] == "Number" and "MaxValue" in one}
    for secret in ({}, {"DatabaseSecretArn": SECRET + "d" * 48 + "-AbCdEf"}):
        text, _ = version_description(template, numbers | LONGEST | secret | parameters)
        print(f"the longest description of a version has {len(text)} characters")
        if len(text) > MAX_VERSION_DESCRIPTION:
            fault(f"VersionDescription may have {MAX_VERSION_DESCRIPTION} characters; this has {len(text)}: {text}")


def check_version_description(template):
    declared = template["Parameters"]
    for name, value in LONGEST.items():
        if not accepts(declared[name], value):
            fault(f"{name} does not accept {value}, which is the longest value in this script")
    for name in ("ApiKeysSecretArn", "DatabaseHost", "DatabaseName"):
        longer = LONGEST[name].replace("k-", "kk-").replace("h.", "hh.").replace("nn", "nnn", 1)
        if accepts(declared[name], longer):
            fault(f"{name} accepts a longer value than this script knows: {longer}")
    check_version_length(template, {})

    # A change of what the function sees must publish a version, or be documented as one that does not.
    other = {
        "Architecture": "x86_64",
        "LogLevel": "WARN",
        "DatabaseAuth": "iam",
        "SubnetIds": "subnet-9",
        "VpcId": "",
        "ApiKeysSecretArn": SECRET + "other-AbCdEf",
        "ApiKeysShards": 16,
        "SyncKeysDatabaseSecretArn": SECRET + "other-AbCdEf",
        "JwtSecretArn": SECRET + "jwt-AbCdEf",
        "JwksUrl": "https://other.example.com/jwks.json",
        "JwtIssuer": "https://other.example.com",
        "JwtAudience": "other",
        "DatabaseSecretArn": SECRET + "other-AbCdEf",
        "DatabaseHost": "other.example.com",
        "DatabaseName": "other",
        "SecretsManagerUrl": "https://other.example.com",
        "ProxyInstance": "other",
        "ProxyCluster": "other",
    }
    bases = [
        {"DatabaseHost": "db.example.com"} | IN_VPC,
        {"DatabaseSecretArn": SECRET + "login-AbCdEf", "JwksUrl": "https://p/jwks.json"} | IN_VPC,
    ]
    unseen = set()
    for base, name in itertools.product(bases, declared):
        if name in ("ReservedConcurrency", "Release"):
            continue
        value = other.get(name, declared[name].get("MaxValue"))
        if value is None:
            continue
        before, after = (version_description(template, base | change) for change in ({}, {name: value}))
        if before[1] != after[1] and before[0] == after[0]:
            unseen.add(name)
    if not unseen:
        fault("every changed parameter publishes a version: this check finds nothing any more")
    # DatabaseName is expected here: with the operator's own secret, the secret has the name.
    if unseen - {"DatabaseHost", "DatabaseName"} != NEED_A_RELEASE:
        fault(f"a change of {sorted(unseen)} publishes no version; expected {sorted(NEED_A_RELEASE)}")
    deploy = (ROOT / "docs/deploy.md").read_text()
    for name in unseen:
        if f"`{name}`" not in deploy.partition("publishes no version")[0].rpartition("\n\n")[2]:
            fault(f"docs/deploy.md does not say that a change of only {name} publishes no version")


def check_rest(rest, http):
    """Compares rest-api.yaml with openapi.yaml and the HTTP API: path, methods, fields, headers."""
    published = yaml_parse((ROOT / "openapi.yaml").read_text())
    definition = rest["Resources"]["Api"]["Properties"]["DefinitionBody"]
    alone = {"UpstreamUrl": "", "UpstreamServes": "others"}
    for name, paths in (
        ("rest-api.yaml", Stack(rest, alone).chosen(definition["paths"])),
        ("template.yaml", Stack(http, alone).chosen(http["Resources"]["HttpApi"]["Properties"]["DefinitionBody"]["paths"])),
    ):
        if list(paths) != list(published["paths"]) or list(paths) != [ROUTE]:
            fault(f"{name} has the paths {list(paths)}, openapi.yaml {list(published['paths'])}")
        methods = {"x-amazon-apigateway-any-method": set(published["paths"][ROUTE])}
        served = set().union(*(methods.get(method, {method}) for method in paths[ROUTE]))
        if served != set(published["paths"][ROUTE]):
            fault(f"{name} serves {served}, openapi.yaml publishes {set(published['paths'][ROUTE])}")
    if "x-amazon" in (ROOT / "openapi.yaml").read_text():
        fault("openapi.yaml has parts for API Gateway, and no template includes it")
    fields = definition["components"]["schemas"]["ListRequest"]["properties"]
    if set(fields) != set(published["components"]["schemas"]["ListRequest"]["properties"]):
        fault(f"rest-api.yaml's model has the fields {sorted(fields)}, openapi.yaml others")
    shared = None
    for name, response in definition["x-amazon-apigateway-gateway-responses"].items():
        headers = response["responseParameters"]
        own = {"gatewayresponse.header.Retry-After", "gatewayresponse.header.Allow"}
        common = {header: value for header, value in headers.items() if header not in own}
        shared = shared or common
        if common != shared:
            fault(f"the gateway response {name} has other headers than the first one: {common}")
    if shared.get("gatewayresponse.header.Access-Control-Expose-Headers") != "'x-request-id, retry-after'":
        fault("gateway responses lack the contract's Access-Control-Expose-Headers")
    call = http["Resources"]["RestApi"]["Properties"]["Parameters"]
    if set(call) != set(rest["Parameters"]):
        fault(f"template.yaml gives the nested stack {sorted(call)}, which declares {sorted(rest['Parameters'])}")
    for output in set(re.findall(r"RestApi\.Outputs\.(\w+)", (ROOT / "template.yaml").read_text())):
        if output not in rest["Outputs"]:
            fault(f"template.yaml reads the nested stack's output {output}, which it does not have")


def check_upstream(http, rest):
    """Checks which paths and methods reach the function and which the upstream, with both kinds of API."""
    function, upstream = ("aws_proxy", None), ("http_proxy", f"{UPSTREAM}/functions/v1/{{proxy}}")
    others = {"/functions/v1/{proxy+}": {"any": upstream}}
    old = {ROUTE: {"any": ("http_proxy", UPSTREAM + ROUTE)}}
    below = {ROUTE + "/{proxy+}": {"any": function}}
    for name, template, resource, methods in (
        ("template.yaml", http, "HttpApi", ("post", "options")),
        ("rest-api.yaml", rest, "Api", ("post", "any")),
    ):
        own = dict.fromkeys(methods, function)
        for parameters, expected in (
            ({"UpstreamUrl": "", "UpstreamServes": "others"}, {ROUTE: own}),
            ({"UpstreamUrl": UPSTREAM, "UpstreamServes": "others"}, {ROUTE: own | {"any": function}} | below | others),
            ({"UpstreamUrl": UPSTREAM, "UpstreamServes": "all"}, old | others),
        ):
            stack = Stack(template, parameters)
            definition = template["Resources"][resource]["Properties"]["DefinitionBody"]
            found = {}
            for path, operations in stack.chosen(definition["paths"]).items():
                for method, operation in operations.items():
                    one = operation["x-amazon-apigateway-integration"]
                    uri = stack.text(one["uri"]) if one["type"] == "http_proxy" else None
                    method = method.replace("x-amazon-apigateway-any-method", "any")
                    found.setdefault(path, {})[method] = (one["type"], uri)
                    if name == "rest-api.yaml" and (uri or "").endswith("{proxy}") and "requestParameters" not in one:
                        fault(f"{name} does not pass the path on to the upstream")
            if found != expected:
                fault(f"{name} with {parameters} has the routes {found}, expected {expected}")


def check_deployment_alarms(translated):
    """Checks that `ignore` gives CodeDeploy no alarms, and `watch` the four."""
    for choice, count in (("watch", 4), ("ignore", 0)):
        stack = Stack(translated, {"DeploymentAlarms": choice})
        group = stack.chosen(translated["Resources"]["FunctionDeploymentGroup"]["Properties"])
        alarms = group.get("AlarmConfiguration", {}).get("Alarms", [])
        if len(alarms) != count:
            fault(f"DeploymentAlarms={choice} gives the deployment {len(alarms)} alarms, expected {count}")


def check_proxy_ports(template):
    """Checks that a proxy is reached on 5432, whatever the database's port is."""
    proxy = {"DatabaseAuth": "iam", "ProxyInstance": "db", "DatabaseSecretArn": SECRET + "login-AbCdEf"}
    for parameters, port in (({}, "6432"), (proxy, "5432")):
        stack = Stack(template, {"DatabasePort": 6432} | IN_VPC | parameters)

        def ports(name, stack=stack):
            rule = stack.chosen(template["Resources"][name]["Properties"])
            rule = rule.get("SecurityGroupEgress", [rule])[0]
            return {stack.text(rule["FromPort"]), stack.text(rule["ToPort"])}

        expected = {"FunctionSecurityGroup": port, "DatabaseIngress": "6432"}
        if parameters:
            expected |= {"ProxyIngress": port, "ProxySecurityGroup": "6432"}
        for name, wanted in expected.items():
            if ports(name) != {wanted}:
                fault(f"{name} with {parameters or 'no proxy'} has the ports {ports(name)}, expected {wanted}")
    if template["Resources"]["ProxyTargets"].get("DependsOn") != "DatabaseIngress":
        fault("ProxyTargets does not wait for DatabaseIngress, without which the proxy cannot reach the database")


def check_gateways(template, rest):
    """Checks both kinds of API: no metrics that cost money, no request in the access log, no prefix behind a domain."""
    http_api, rest_api = template["Resources"]["HttpApi"]["Properties"], rest["Resources"]["Api"]["Properties"]
    metrics = [
        http_api["DefaultRouteSettings"]["DetailedMetricsEnabled"],
        rest_api["MethodSettings"][0]["MetricsEnabled"],
    ]
    if metrics != [False, False]:
        fault("detailed metrics cost money and nothing reads them")
    for log in (http_api["AccessLogSettings"]["Format"], rest_api["AccessLogSetting"]["Format"]):
        if "error.message" in log:
            fault("the access log has $context.error.message, which quotes a rejected Authorization header")
    if "ApiMappingKey" in template["Resources"]["DomainMapping"]["Properties"]:
        fault("the domain is mapped with a path prefix")
    if "cached = false" not in (ROOT / "samconfig.toml").read_text():
        fault("samconfig.toml: with `cached`, sam hashes target/ while it changes")


def main():
    logging.disable(logging.WARNING)  # SAM's warnings about its own feature flags
    template, rest = load("template.yaml"), load("rest-api.yaml")

    for parameters, words in REJECTED:
        reasons = list(Stack(template, parameters).rejections())
        if not any(words in reason for reason in reasons):
            fault(f"no rule rejects {parameters} with the words '{words}', only with {reasons}")
    for wanted, cases in ((False, IMPOSSIBLE), (True, POSSIBLE)):
        for name, value in cases:
            if accepts(template["Parameters"][name], value) != wanted:
                fault(f"{name} {'rejects' if wanted else 'accepts'} {value}")
    for name, declared in template["Parameters"].items():
        if declared["Type"] != "Number" and not accepts(declared, declared["Default"]):
            fault(f"{name} rejects its own default")

    # Any change to the template of the generated secret generates a new password.
    generated = template["Resources"]["DatabaseSecret"]["Properties"]["GenerateSecretString"]
    if list(references(generated)) or not isinstance(generated["SecretStringTemplate"], str):
        fault("the generated secret depends on a parameter: changing it would generate a new password")

    combinations = [
        dict(pair for choice in chosen for pair in choice.items()) for chosen in itertools.product(*CHOICES)
    ]
    accepted = [one for one in combinations if not list(Stack(template, one).rejections())]
    # SAM reads the values of only a few parameters: one combination is translated for each of these values. All are evaluated.
    translated = {}
    for parameters in accepted:
        key = (
            parameters["ApiType"],
            parameters.get("DeploymentAlarms"),
            parameters.get("DatabaseAuth"),
            "VpcId" in parameters,
        )
        if key not in translated:
            translated[key] = translate(template, parameters)
        check("template.yaml", Stack(translated[key], parameters))
    upstreams = (("", "others"), (UPSTREAM, "others"), (UPSTREAM, "all"))
    for acl, validation, upstream in itertools.product(("", "arn:aws:wafv2:waf"), ("true", "false"), upstreams):
        parameters = {
            "Name": "n",
            "FunctionAliasArn": "a",
            "ThrottlingRateLimit": 1,
            "ThrottlingBurstLimit": 1,
            "WebAclArn": acl,
            "GatewayValidation": validation,
            "UpstreamUrl": upstream[0],
            "UpstreamServes": upstream[1],
            "AccessLogsName": "l",
        }
        check("rest-api.yaml", Stack(translate(rest, parameters), parameters))
    check_deployment_alarms(next(iter(translated.values())))
    check_proxy_ports(template)
    check_gateways(template, rest)
    check_version_description(template)
    check_managed_instances(accepted)
    check_rest(rest, template)
    check_upstream(template, rest)

    print(f"the rules accept {len(accepted)} of {len(combinations)} combinations; {len(faults)} faults")
    for text in sorted(set(faults)):
        print(text, file=sys.stderr)
    sys.exit(bool(faults))


main()
