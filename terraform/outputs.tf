output "url" {
  description = "The URL for callers."
  value       = "${aws_apigatewayv2_api.this.api_endpoint}/functions/v1/list-chat-sessions"
}

output "api_id" {
  description = "The API's ID, to map your own domain to its stage `$default` with aws_apigatewayv2_api_mapping."
  value       = aws_apigatewayv2_api.this.id
}

output "function_arn" {
  description = "The function with the alias that serves callers."
  value       = aws_lambda_alias.live.arn
}

output "role_arn" {
  description = "The function's role, for policies of KMS keys and secrets."
  value       = aws_iam_role.function.arn
}

output "sync_keys_name" {
  description = "The function that copies the product's keys into the key ring, if there is one."
  value       = one(values(aws_lambda_function.sync_keys)[*].function_name)
}
