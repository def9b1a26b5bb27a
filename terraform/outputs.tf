output "url" {
  description = "What callers call."
  value       = "${aws_apigatewayv2_api.this.api_endpoint}/functions/v1/list-chat-sessions"
}

output "api_id" {
  description = "The API, to map a domain of yours to its stage `$default` with aws_apigatewayv2_api_mapping."
  value       = aws_apigatewayv2_api.this.id
}

output "function_arn" {
  description = "The function, with the alias that callers reach."
  value       = aws_lambda_alias.live.arn
}

output "role_arn" {
  description = "The function's role, for the policies of keys and secrets."
  value       = aws_iam_role.function.arn
}
