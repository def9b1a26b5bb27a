# Nothing to report is nothing wrong: an API without requests at night is well.

locals {
  alarm_actions = var.alarm_topic_arn[*]

  # Alarms on one metric each: more than `threshold` in `datapoints` of `periods` periods.
  alarms = {
    function-errors = {
      description = "An invocation crashed, ran out of time, or could not start: a fault in the code or in the configuration."
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
      description = "Lambda refuses requests: reserved_concurrency is used up, or the account's own limit."
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
      description = "Requests are served with a secret that can no longer be refreshed. They fail when it is a day old."
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
      description = "One request in a hundred takes longer than latency_alarm_ms."
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

  # Alarms on an expression over several metrics, which are Sums of a minute.
  expression_alarms = {
    server-errors = {
      description = "More than 1 % of the answers are 5xx. The function's log has the causes, the access log the rest."
      expression  = "IF(requests > 0, 100 * errors / requests, 0)"
      threshold   = 1
      metrics = {
        errors   = { namespace = "AWS/ApiGateway", metric = "5xx", dimensions = { ApiId = aws_apigatewayv2_api.this.id } }
        requests = { namespace = "AWS/ApiGateway", metric = "Count", dimensions = { ApiId = aws_apigatewayv2_api.this.id } }
      }
    }
    database-failures = {
      description = "Requests failed because the database or Secrets Manager was away, the query was refused, or it took too long."
      # Not a sum with `+`, which has no value where one of the three has none. SUM adds up those that there are.
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

  # Of a handful of requests, the slowest is no percentile.
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
