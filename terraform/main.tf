# The function, behind its alias.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  # Composed from names, so that the role can name the function before it exists.
  region       = data.aws_region.current.id
  function_arn = "arn:${data.aws_partition.current.partition}:lambda:${local.region}:${data.aws_caller_identity.current.account_id}:function:${var.name}"
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116:A dead-letter queue is for asynchronous events, and every event here has a caller that waits.
  #checkov:skip=CKV_AWS_173:The variables are names and limits; secrets are in Secrets Manager.
  #checkov:skip=CKV_AWS_272:Signing needs a signing profile of the account; with one, set code_signing_config_arn.
  function_name                  = var.name
  description                    = "Lists the chat sessions of the account that a token belongs to"
  filename                       = var.package
  source_code_hash               = filebase64sha256(var.package)
  handler                        = "bootstrap"
  runtime                        = "provided.al2023"
  architectures                  = [var.architecture]
  memory_size                    = var.capacity_provider == null ? var.memory_size : var.capacity_provider.memory_size
  timeout                        = var.timeout
  reserved_concurrent_executions = var.capacity_provider == null ? var.reserved_concurrency : -1
  role                           = aws_iam_role.function.arn
  publish                        = true

  environment {
    variables = merge(
      {
        API_KEYS_SECRET_ID = var.api_keys_secret_arn
        DATABASE_SECRET_ID = var.database_secret_arn
        DATABASE_AUTH      = var.database_iam_user == null ? "password" : "iam"
        # Used if the secret has none.
        DATABASE_HOST            = var.database_host
        DATABASE_PORT            = tostring(var.database_port)
        DATABASE_NAME            = var.database_name
        QUERY_TIMEOUT_MS         = tostring(var.query_timeout_ms)
        LIMIT_MAX                = tostring(var.limit_max)
        SECRET_MAX_AGE_SECONDS   = tostring(var.secret_max_age_seconds)
        DATABASE_ALLOW_PLAINTEXT = "false"
      },
      var.api_keys_shards == 1 ? {} : { API_KEYS_SHARDS = tostring(var.api_keys_shards) },
      local.api_keys_max_age_seconds == 0 ? {} : { API_KEYS_MAX_AGE_SECONDS = tostring(local.api_keys_max_age_seconds) },
      var.capacity_provider == null ? {} : { DATABASE_POOL_SIZE = tostring(var.capacity_provider.database_pool_size) },
      var.jwt_secret_arn == null ? {} : { JWT_SECRET_ID = var.jwt_secret_arn },
      var.jwks_url == null ? {} : { JWKS_URL = var.jwks_url },
      var.jwt_issuer == null ? {} : { JWT_ISSUER = var.jwt_issuer, JWT_AUDIENCE = var.jwt_audience },
      # Read by the AWS SDK.
      var.secrets_manager_url == null ? {} : { AWS_ENDPOINT_URL_SECRETS_MANAGER = var.secrets_manager_url },
    )
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = var.log_level
    # Lambda's own three lines per request would cost more than the request; the function's line says the same.
    system_log_level = "WARN"
    log_group        = aws_cloudwatch_log_group.function.name
  }

  tracing_config {
    mode = "Active"
  }

  dynamic "vpc_config" {
    for_each = var.vpc[*]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  dynamic "capacity_provider_config" {
    for_each = var.capacity_provider[*]
    content {
      lambda_managed_instances_capacity_provider_config {
        capacity_provider_arn                     = capacity_provider_config.value.arn
        execution_environment_memory_gib_per_vcpu = capacity_provider_config.value.memory_gib_per_vcpu
        per_execution_environment_max_concurrency = capacity_provider_config.value.concurrency
      }
    }
  }

  # Lambda checks the role's permissions when it creates the function.
  depends_on = [aws_iam_role_policy.function]

  lifecycle {
    precondition {
      condition     = length([for source in [var.jwt_secret_arn, var.jwks_url] : source if source != null]) == (var.jwt_issuer == null ? 0 : 1)
      error_message = "Session tokens need jwt_issuer and one of jwt_secret_arn and jwks_url."
    }

    precondition {
      condition     = var.capacity_provider == null || var.vpc == null
      error_message = "On Managed Instances, VPC, subnets and security groups are the capacity provider's: leave vpc null."
    }
  }
}

# Callers use the alias. To roll back, point it at an older version.
resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}

resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.logs_key_arn
}

# What the function may do.

resource "aws_iam_role" "function" {
  name_prefix        = "${substr(var.name, 0, 37)}-" # 38 characters at most
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "function" {
  name   = "list-chat-sessions"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.function.json
}

data "aws_iam_policy_document" "function" {
  statement {
    sid       = "ReadItsTwoSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [local.api_keys_secret_arns, var.database_secret_arn]
  }

  dynamic "statement" {
    for_each = var.jwt_secret_arn[*]
    content {
      sid       = "ReadTheJwtSecret"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.secrets_key_arn[*]
    content {
      sid       = "DecryptThemThroughSecretsManager"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.database_iam_user[*]
    content {
      sid       = "LogInToTheDatabase"
      actions   = ["rds-db:connect"]
      resources = [statement.value]
    }
  }

  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function.arn}:*"]
  }

  statement {
    sid       = "WriteTraces"
    actions   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    resources = ["*"] # X-Ray has no resource types.
  }

  dynamic "statement" {
    for_each = var.vpc[*]
    content {
      sid = "LetLambdaAttachItToTheVpc"
      actions = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
      ]
      resources = ["*"] # Lambda requires these without a resource.
    }
  }

  # They are for Lambda, which uses them before the function runs; the function's code does not need them.
  dynamic "statement" {
    for_each = var.vpc[*]
    content {
      sid       = "ButNotTheCode"
      effect    = "Deny"
      actions   = ["ec2:*"]
      resources = ["*"]

      condition {
        test     = "ArnEquals"
        variable = "lambda:SourceFunctionArn"
        values   = [local.function_arn]
      }
    }
  }
}
