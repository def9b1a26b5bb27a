# Missing data is not an error: an API may have no requests at night.

locals {
  alarm_actions = var.alarm_topic_arn[*]

  # Alarms on one metric. They go off if it is above `threshold` in `datapoints` of `periods` periods.
  alarms = {
    function-errors = {
      description = "An invocation crashed, timed out or could not start: a bug or a wrong configuration."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = var.name }
      statistic   = "Sum"
      threshold   = 0
      period      = 60
      periods     = 1
      datapoints  = 1
    }
    throttles = {
      description = "Lambda rejects requests because reserved_concurrency or the account's limit is reached."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = var.name }
      statistic   = "Sum"
      threshold   = 0
      period      = 60
      periods     = 3
      datapoints  = 2
    }
    stale-secret = {
      description = "Requests are served with a secret that cannot be refreshed. They will fail when it is a day old."
      namespace   = "ListChatSessions"
      metric      = "SecretStale"
      dimensions  = { FunctionName = var.name }
      statistic   = "Sum"
      threshold   = 0
      period      = 300
      periods     = 2
      datapoints  = 2
    }
    latency = {
      description = "The 99th percentile is above latency_alarm_ms."
      namespace   = "AWS/ApiGateway"
      metric      = "Latency"
      dimensions  = { ApiId = aws_apigatewayv2_api.this.id }
      statistic   = "p99"
      threshold   = var.latency_alarm_ms
      period      = 60
      periods     = 5
      datapoints  = 3
    }
  }

  # Alarms on an expression over several metrics, each the sum over a minute.
  expression_alarms = {
    server-errors = {
      description = "More than 1 % of the responses are 5xx. The causes are in the function's log; those of the gateway's own errors are in the access log."
      expression  = "IF(requests > 0, 100 * errors / requests, 0)"
      threshold   = 1
      metrics = {
        errors   = { namespace = "AWS/ApiGateway", metric = "5xx", dimensions = { ApiId = aws_apigatewayv2_api.this.id } }
        requests = { namespace = "AWS/ApiGateway", metric = "Count", dimensions = { ApiId = aws_apigatewayv2_api.this.id } }
      }
    }
    database-failures = {
      description = "Requests failed because the database or Secrets Manager was unavailable, or because the query was rejected or timed out."
      # Not `+`, which has no value if one of the three has none. SUM adds those that exist.
      expression = "SUM([service_unavailable, query_error, timeout])"
      threshold  = 2
      metrics = {
        for outcome in ["service_unavailable", "query_error", "timeout"] : outcome => {
          namespace  = "ListChatSessions"
          metric     = "Count"
          dimensions = { FunctionName = var.name, Outcome = outcome }
        }
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  period              = each.value.period
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.datapoints
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  # A percentile of a few requests is only the slowest of them.
  evaluate_low_sample_count_percentiles = startswith(each.value.statistic, "p") ? "ignore" : null
}

resource "aws_cloudwatch_metric_alarm" "expression" {
  for_each = local.expression_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions

  metric_query {
    id          = "result"
    expression  = each.value.expression
    label       = each.key
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.metrics
    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.metric
        dimensions  = metric_query.value.dimensions
        stat        = "Sum"
        period      = 60
      }
    }
  }
}
