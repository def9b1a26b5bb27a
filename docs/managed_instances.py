#!/usr/bin/env python3
"""Makes the template for Lambda Managed Instances out of template.yaml.

usage: docs/managed_instances.py > managed-instances.yaml

A template of its own, because SAM's translator rejects a function that has both CapacityProviderConfig and VpcConfig, even if
a condition chooses between them. deploy.md explains its parameters.
"""

import sys
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent / "template.yaml"

PARAMETERS = """\
  CapacityProviderArn:
    Type: String
    MaxLength: 140
    AllowedPattern: arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:[0-9]{12}:capacity-provider:[a-zA-Z0-9_-]+
    ConstraintDescription: the ARN of a capacity provider for Lambda Managed Instances
    Description: Capacity provider that the function runs on. Its VPC is the function's.
  MemoryGiBPerVCpu:
    Type: Number
    Default: 2
    AllowedValues: [2, 4, 8]
    Description: Memory for each processor. MemorySize must be at least as much.
  EnvironmentConcurrency:
    Type: Number
    Default: 16
    MinValue: 2
    MaxValue: 64
    Description: Events at a time in one environment.
  DatabasePoolSize:
    Type: Number
    Default: 16
    MinValue: 1
    MaxValue: 64
    Description: Most connections of one environment to the database. Further events wait for one.
  MinEnvironments:
    Type: Number
    Default: 3
    MinValue: 0
    MaxValue: 15000
    Description: Environments of the current version that always run. 3 are one for each zone.
  MaxEnvironments:
    Type: Number
    Default: 3
    MinValue: 1
    MaxValue: 15000
    Description: Most environments of a version. With DatabasePoolSize, it limits the connections to the database.
"""

RULE = """\
Rules:
  ProviderHasTheVpc:
    Assertions:
      - Assert: !Equals [!Ref VpcId, ""]
        AssertDescription: >-
          On Managed Instances, VPC, subnets and security groups are the capacity provider's. Leave VpcId empty; a proxy's
          address can be the host in the secret.
  MemoryIsEnough:
    RuleCondition: !Equals [!Ref MemorySize, 2048]
    Assertions:
      - Assert: !Equals [!Ref MemoryGiBPerVCpu, 2]
        AssertDescription: MemorySize must be at least MemoryGiBPerVCpu, for one processor.
  MemoryIsEnoughForTheLargest:
    RuleCondition: !Equals [!Ref MemorySize, 4096]
    Assertions:
      - Assert: !Not [!Equals [!Ref MemoryGiBPerVCpu, 8]]
        AssertDescription: MemorySize must be at least MemoryGiBPerVCpu, for one processor.
"""

CAPACITY = """\
      CapacityProviderConfig:
        Arn: !Ref CapacityProviderArn
        ExecutionEnvironmentMemoryGiBPerVCpu: !Ref MemoryGiBPerVCpu
        PerExecutionEnvironmentMaxConcurrency: !Ref EnvironmentConcurrency
      FunctionScalingConfig:
        MinExecutionEnvironments: !Ref MinEnvironments
        MaxExecutionEnvironments: !Ref MaxEnvironments
"""


def only(text, part):
    """The one occurrence of a part: an exact text, or (first line, beginning of the line after it)."""
    first, after = part if isinstance(part, tuple) else (part, None)
    if text.count(first) != 1:
        sys.exit(f"template.yaml has {text.count(first)} times: {first}")
    return text[text.index(first) : text.index(after, text.index(first) + 1)] if after else first


def managed(text):
    function = only(text, ("  Function:\n    Type: AWS::Serverless::Function", "  FunctionRole:"))
    changed = function
    for part, new in (
        # SAM deletes versions that are no longer used, because their instances would cost money.
        ("    # For its versions: after a changed parameter, as after new code, the previous version stays for a roll-back.\n", ""),
        ("    UpdateReplacePolicy: Retain\n", ""),
        (", ${ReservedConcurrency} at a time; release\n        ${Release}", "; release ${Release}"),
        ("      ReservedConcurrentExecutions: !If [ReservesConcurrency, !Ref ReservedConcurrency, !Ref AWS::NoValue]\n", ""),
        (("      VpcConfig: !If\n", "      AutoPublishAlias: live"), CAPACITY),
        ("          LIMIT_MAX: !Ref LimitMax\n", "          LIMIT_MAX: !Ref LimitMax\n          DATABASE_POOL_SIZE: !Ref DatabasePoolSize\n"),
        (" ${Vpc} ", " ${MemoryGiBPerVCpu}/${EnvironmentConcurrency}/${DatabasePoolSize} "),
        ('          Vpc: !Select [1, !Split ["-", !Sub "${VpcId}-"]]\n', ""),
    ):
        changed = changed.replace(only(changed, part), new)
    memory = only(text, ("  MemorySize:\n    Type: Number", "  Timeout:"))
    for part, new in (
        (function, changed),
        (
            memory,
            "  MemorySize:\n    Type: Number\n    Default: 2048\n    AllowedValues: [2048, 4096, 8192, 16384, 32768]\n"
            "    Description: MB of an environment. Lambda requires 2,048 on Managed Instances; the function needs much less.\n",
        ),
        (("  ReservedConcurrency:\n", "  DeploymentType:"), PARAMETERS),
        ("  ReservesConcurrency: !Not [!Equals [!Ref ReservedConcurrency, 0]]\n", ""),
        ("Rules:\n", RULE),
        # Of sync-keys, which stays on classic Lambda.
        ("!If [ReservesConcurrency, 1, !Ref AWS::NoValue]", "1"),
        ("far above ReservedConcurrency", "far above MaxEnvironments times EnvironmentConcurrency"),
        ("because ReservedConcurrency or the account's limit is reached", "because its environments are busy"),
        ("of ${ReservedConcurrency} reserved", "at most ${MaxEnvironments} × ${EnvironmentConcurrency}"),
    ):
        text = text.replace(only(text, part), new)
    return text


if __name__ == "__main__":
    sys.stdout.write(managed(TEMPLATE.read_text()))
