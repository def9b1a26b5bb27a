# The HTTP API: POST and OPTIONS on one route, and other functions on an upstream. openapi.yaml describes requests and
# responses. The function validates them and handles OPTIONS, so that one place writes the CORS headers.

resource "aws_apigatewayv2_api" "this" {
  name          = var.name
  protocol_type = "HTTP"

  lifecycle {
    precondition {
      condition     = var.upstream_serves == "others" || var.upstream_url != null
      error_message = "upstream_serves = \"all\" needs upstream_url."
    }
  }
}

resource "aws_apigatewayv2_integration" "function" {
  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_method     = "POST"
  integration_uri        = aws_lambda_alias.live.invoke_arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_route" "this" {
  #checkov:skip=CKV_AWS_309:The function checks the bearer token; the gateway has no authorizer that reads the key ring.
  for_each = var.upstream_serves == "all" ? toset([]) : toset(["POST", "OPTIONS"])

  api_id    = aws_apigatewayv2_api.this.id
  route_key = "${each.key} /functions/v1/list-chat-sessions"
  target    = "integrations/${aws_apigatewayv2_integration.function.id}"
}

# With an upstream, other methods and the paths below the route would fall through to it.
resource "aws_apigatewayv2_route" "rest" {
  #checkov:skip=CKV_AWS_309:The function checks the bearer token; the gateway has no authorizer that reads the key ring.
  for_each = var.upstream_url == null || var.upstream_serves == "all" ? toset([]) : toset(["", "/{proxy+}"])

  api_id    = aws_apigatewayv2_api.this.id
  route_key = "ANY /functions/v1/list-chat-sessions${each.key}"
  target    = "integrations/${aws_apigatewayv2_integration.function.id}"
}

# {proxy} is the rest of the path; query, headers and body are passed on by themselves.
resource "aws_apigatewayv2_integration" "upstream" {
  count = var.upstream_url == null ? 0 : 1

  api_id             = aws_apigatewayv2_api.this.id
  integration_type   = "HTTP_PROXY"
  integration_method = "ANY"
  integration_uri    = "${var.upstream_url}/functions/v1/{proxy}"
}

resource "aws_apigatewayv2_route" "upstream" {
  #checkov:skip=CKV_AWS_309:The upstream authenticates its callers, as without this API.
  count = var.upstream_url == null ? 0 : 1

  api_id    = aws_apigatewayv2_api.this.id
  route_key = "ANY /functions/v1/{proxy+}"
  target    = "integrations/${aws_apigatewayv2_integration.upstream[0].id}"
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    # Metrics by route cost money, and nothing reads them. The metrics of the whole API are free.
    detailed_metrics_enabled = false
    throttling_rate_limit    = var.throttling_rate_limit
    throttling_burst_limit   = var.throttling_burst_limit
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format = jsonencode({
      time       = "$context.requestTime"
      request_id = "$context.requestId"
      ip         = "$context.identity.sourceIp"
      method     = "$context.httpMethod"
      path       = "$context.path"
      status     = "$context.status"
      bytes      = "$context.responseLength"
      latency_ms = "$context.responseLatency"
      # The `request_id` of the function's line.
      integration_request_id = "$context.integration.requestId"
      integration_latency_ms = "$context.integration.latency"
      integration_error      = "$context.integration.error"
      # The type, but not the message, which may quote the request and is not escaped.
      error      = "$context.error.responseType"
      user_agent = "$context.identity.userAgent"
    })
  }
}

resource "aws_cloudwatch_log_group" "access" {
  # For names below /aws/vendedlogs/, the policy that lets API Gateway write does not grow with each API.
  name              = "/aws/vendedlogs/apis/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.logs_key_arn
}

resource "aws_lambda_permission" "api" {
  function_name = aws_lambda_function.this.function_name
  qualifier     = aws_lambda_alias.live.name
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/*/functions/v1/list-chat-sessions"
}

# The paths below the route, which only an API with an upstream routes.
resource "aws_lambda_permission" "paths" {
  count = length(aws_apigatewayv2_route.rest) == 0 ? 0 : 1

  function_name = aws_lambda_function.this.function_name
  qualifier     = aws_lambda_alias.live.name
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/*/functions/v1/list-chat-sessions/*"
}
