variable "name" {
  description = "Name of the function, its API and all that belongs to them."
  type        = string
  default     = "list-chat-sessions"
}

variable "package" {
  description = "Zip with `bootstrap` in it, as `cargo lambda build --release --arm64 --output-format zip` makes it."
  type        = string
}

variable "architecture" {
  description = "Processor that the package was built for: arm64 or x86_64."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "memory_size" {
  description = "MB, and with them the share of a processor: 1,769 MB are a whole one."
  type        = number
  default     = 256
}

variable "timeout" {
  description = "Seconds: above connecting (3 s) and querying together, below API Gateway's 29 s."
  type        = number
  default     = 10
}

variable "query_timeout_ms" {
  description = "Milliseconds that the query may take before it is cancelled and answered with 504."
  type        = number
  default     = 5000
}

variable "limit_max" {
  description = "Largest `limit` that is served, 100 to 1000."
  type        = number
  default     = 100
}

variable "secret_max_age_seconds" {
  description = "Seconds after which a secret is read again, 1 to 3600; a revoked key stops within them."
  type        = number
  default     = 300
}

variable "reserved_concurrency" {
  description = "Most requests at the same time, and so the connection budget of the database. -1 reserves nothing."
  type        = number
  default     = 20
}

variable "log_level" {
  description = "Above INFO, the lines of requests that went well are dropped, and with them their metrics."
  type        = string
  default     = "INFO"
}

variable "throttling_rate_limit" {
  description = "Requests per second, over all callers."
  type        = number
  default     = 100
}

variable "throttling_burst_limit" {
  description = "Requests that may come at once. Not far above reserved_concurrency, or Lambda refuses the rest."
  type        = number
  default     = 40
}

variable "api_keys_secret_arn" {
  description = "Secret with the key ring."
  type        = string
}

variable "database_secret_arn" {
  description = "Secret with the database's credentials, in the form that RDS makes."
  type        = string
}

variable "secrets_key_arn" {
  description = "KMS key of the secrets, if it is not the account's own aws/secretsmanager."
  type        = string
  default     = null
}

variable "database_iam_user" {
  description = "ARN to log in as with IAM in place of the secret's password: arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE-ID/USER."
  type        = string
  default     = null
}

variable "vpc" {
  description = "Where to run. Null runs outside of any VPC, for a database that the internet can reach."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 365
}

variable "logs_key_arn" {
  description = "KMS key of the logs. Its policy must admit CloudWatch Logs."
  type        = string
  default     = null
}

variable "alarm_topic_arn" {
  description = "SNS topic that alarms go to."
  type        = string
  default     = null
}

variable "latency_alarm_ms" {
  description = "Milliseconds of the slowest request in a hundred that are too slow."
  type        = number
  default     = 1500
}
