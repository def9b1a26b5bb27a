# sync-keys, which copies the product's table of keys into the key ring. Only this function may write it. Without
# sync_keys_database_secret_arn, nothing of this exists.

locals {
  syncs_keys     = var.sync_keys_database_secret_arn != null
  sync_keys_name = "${var.name}-sync-keys"
  sync_keys      = local.syncs_keys ? toset(["this"]) : toset([])

  # Of shards: their digits, and the characters that Secrets Manager adds to each name.
  api_keys_secret_arns = var.api_keys_shards == 1 ? var.api_keys_secret_arn : "${replace(var.api_keys_secret_arn, "{shard}", var.api_keys_shards == 256 ? "??" : "?")}-??????"
  # With sync-keys, a revoked key stops working within its schedule and two seconds: this age and a fetch.
  api_keys_max_age_seconds = var.api_keys_max_age_seconds == 0 && local.syncs_keys ? 1 : var.api_keys_max_age_seconds
}

resource "aws_lambda_function" "sync_keys" {
  #checkov:skip=CKV_AWS_116:The next run, a minute later, does what a failed one did not; an alarm says that one has failed.
  #checkov:skip=CKV_AWS_173:The variables are names and limits; secrets are in Secrets Manager.
  #checkov:skip=CKV_AWS_272:Signing needs a signing profile of the account; with one, set code_signing_config_arn.
  for_each         = local.sync_keys
  function_name    = local.sync_keys_name
  description      = "Copies the product's keys into the key ring"
  filename         = var.sync_keys_package
  source_code_hash = filebase64sha256(var.sync_keys_package)
  handler          = "bootstrap"
  runtime          = "provided.al2023"
  architectures    = [var.architecture]
  # Enough for 300,000 keys.
  memory_size = 512
  # Less than the shortest schedule, so that runs do not wait for each other.
  timeout = 50
  # Two runs at once lose nothing, but the second one would be for nothing.
  reserved_concurrent_executions = var.reserved_concurrency == -1 ? -1 : 1
  role                           = aws_iam_role.sync_keys["this"].arn

  environment {
    variables = merge(
      {
        API_KEYS_SECRET_ID       = var.api_keys_secret_arn
        DATABASE_SECRET_ID       = var.sync_keys_database_secret_arn
        DATABASE_HOST            = var.database_host
        DATABASE_PORT            = tostring(var.database_port)
        DATABASE_NAME            = var.database_name
        QUERY_TIMEOUT_MS         = "20000"
        DATABASE_ALLOW_PLAINTEXT = "false"
      },
      var.api_keys_shards == 1 ? {} : { API_KEYS_SHARDS = tostring(var.api_keys_shards) },
      var.secrets_manager_url == null ? {} : { AWS_ENDPOINT_URL_SECRETS_MANAGER = var.secrets_manager_url },
    )
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = var.log_level
    system_log_level      = "WARN"
    log_group             = aws_cloudwatch_log_group.sync_keys["this"].name
  }

  tracing_config {
    mode = "PassThrough"
  }

  dynamic "vpc_config" {
    for_each = var.vpc[*]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  # Lambda checks the role's permissions when it creates the function.
  depends_on = [aws_iam_role_policy.sync_keys]
}

resource "aws_lambda_function_event_invoke_config" "sync_keys" {
  for_each                     = local.sync_keys
  function_name                = aws_lambda_function.sync_keys["this"].function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}

resource "aws_cloudwatch_event_rule" "sync_keys" {
  for_each            = local.sync_keys
  name                = local.sync_keys_name
  schedule_expression = var.sync_keys_schedule
}

resource "aws_cloudwatch_event_target" "sync_keys" {
  for_each = local.sync_keys
  rule     = aws_cloudwatch_event_rule.sync_keys["this"].name
  arn      = aws_lambda_function.sync_keys["this"].arn

  retry_policy {
    maximum_retry_attempts       = 0
    maximum_event_age_in_seconds = 60
  }
}

resource "aws_lambda_permission" "sync_keys" {
  for_each      = local.sync_keys
  function_name = aws_lambda_function.sync_keys["this"].function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.sync_keys["this"].arn
}

resource "aws_cloudwatch_log_group" "sync_keys" {
  for_each          = local.sync_keys
  name              = "/aws/lambda/${local.sync_keys_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.logs_key_arn
}

resource "aws_iam_role" "sync_keys" {
  for_each           = local.sync_keys
  name_prefix        = "${substr(local.sync_keys_name, 0, 37)}-" # 38 characters at most
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "sync_keys" {
  for_each = local.sync_keys
  name     = "sync-keys"
  role     = aws_iam_role.sync_keys["this"].id
  policy   = data.aws_iam_policy_document.sync_keys["this"].json
}

data "aws_iam_policy_document" "sync_keys" {
  for_each = local.sync_keys

  statement {
    sid       = "ReplaceTheKeyRing"
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"]
    resources = [local.api_keys_secret_arns]
  }

  statement {
    sid       = "ReadItsLogin"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.sync_keys_database_secret_arn]
  }

  dynamic "statement" {
    for_each = var.secrets_key_arn[*]
    content {
      sid       = "UseTheirKeyThroughSecretsManager"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }

  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.sync_keys["this"].arn}:*"]
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

  # As for the other function: they are for Lambda, and not for the code.
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
        values   = ["${local.function_arn}-sync-keys"]
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "sync_keys_errors" {
  for_each            = local.sync_keys
  alarm_name          = "${local.sync_keys_name}-errors"
  alarm_description   = "The product's keys were not copied into the key ring: a new key does not work, and a revoked one still does. The cause, and what to do, is in the log of sync-keys."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = local.sync_keys_name }
  statistic           = "Sum"
  period              = 60
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "sync_keys_not_running" {
  for_each            = local.sync_keys
  alarm_name          = "${local.sync_keys_name}-not-running"
  alarm_description   = "sync-keys has not run for half an hour. Its schedule may be disabled, or Lambda rejects its events."
  namespace           = "AWS/Lambda"
  metric_name         = "Invocations"
  dimensions          = { FunctionName = local.sync_keys_name }
  statistic           = "Sum"
  period              = 900
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  evaluation_periods  = 2
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}
