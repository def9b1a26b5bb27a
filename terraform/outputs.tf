output "url" {
  description = "What callers call."
  value       = "${aws_apigatewayv2_api.this.api_endpoint}/functions/v1/list-chat-sessions"
}

output "function_arn" {
  description = "The function, with the alias that callers reach."
  value       = aws_lambda_alias.live.arn
}

output "role_arn" {
  description = "The function's role, for the policies of keys and secrets."
  value       = aws_iam_role.function.arn
}
