variable "name" {
  description = "Name of the function, its API and everything else in this module. It must differ from the name of a SAM stack in the same account."
  type        = string
  default     = "list-chat-sessions-terraform"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,63}$", var.name))
    error_message = "name must start with a letter and have only letters, digits and hyphens, at most 64: it is the name of a Lambda function."
  }
}

variable "package" {
  description = "Zip file that contains `bootstrap`, from `cargo lambda build --release --arm64 --output-format zip`."
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
  description = "MB. It also determines the share of a processor: 1,769 MB are a whole one."
  type        = number
  default     = 256

  validation {
    condition     = var.memory_size >= 128 && var.memory_size <= 3008
    error_message = "memory_size must be from 128 to 3008 MB."
  }
}

variable "timeout" {
  description = "Seconds. More than connecting (3 s) and the query together, and less than API Gateway's 29 s."
  type        = number
  default     = 10

  validation {
    condition     = var.timeout >= 5 && var.timeout <= 29
    error_message = "timeout must be from 5 to 29 seconds."
  }
}

variable "query_timeout_ms" {
  description = "Time-out of the query in milliseconds. Then the query is cancelled and the response is 504."
  type        = number
  default     = 5000

  validation {
    condition     = var.query_timeout_ms >= 1 && var.query_timeout_ms <= 28000
    error_message = "query_timeout_ms must be from 1 to 28000 milliseconds."
  }
}

variable "limit_max" {
  description = "Largest `limit` that is served, 100 to 1000."
  type        = number
  default     = 100

  validation {
    condition     = var.limit_max >= 100 && var.limit_max <= 1000
    error_message = "limit_max must be from 100 to 1000."
  }
}

variable "secret_max_age_seconds" {
  description = "Age in seconds at which a secret is refreshed, 1 to 3600. A revoked key stops working within this time."
  type        = number
  default     = 300

  validation {
    condition     = var.secret_max_age_seconds >= 1 && var.secret_max_age_seconds <= 3600
    error_message = "secret_max_age_seconds must be from 1 to 3600 seconds."
  }
}

variable "reserved_concurrency" {
  description = "Maximum of concurrent requests, and so of connections to the database. -1 reserves nothing."
  type        = number
  default     = 20

  validation {
    condition     = var.reserved_concurrency == -1 || var.reserved_concurrency >= 1
    error_message = "reserved_concurrency must be at least 1, or -1 to reserve nothing. 0 would stop the function."
  }
}

variable "capacity_provider" {
  description = "Capacity provider for Lambda Managed Instances. If it is null, the function runs on classic Lambda. Cannot be added to a function that exists, or removed from it."
  type = object({
    arn                 = string
    memory_size         = optional(number, 2048)
    memory_gib_per_vcpu = optional(number, 2)
    concurrency         = optional(number, 16)
    database_pool_size  = optional(number, 16)
  })
  default = null

  validation {
    condition     = var.capacity_provider == null || can(regex("^arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:[0-9]{12}:capacity-provider:[a-zA-Z0-9_-]+$", var.capacity_provider.arn))
    error_message = "capacity_provider.arn must be the ARN of a capacity provider for Lambda Managed Instances."
  }

  validation {
    condition     = try(contains([2, 4, 8], var.capacity_provider.memory_gib_per_vcpu) && var.capacity_provider.memory_size >= 1024 * var.capacity_provider.memory_gib_per_vcpu && var.capacity_provider.memory_size <= 32768, true)
    error_message = "capacity_provider.memory_gib_per_vcpu must be 2, 4 or 8, and memory_size from that many GiB to 32768 MB."
  }

  validation {
    condition     = try(var.capacity_provider.concurrency >= 2 && var.capacity_provider.concurrency <= 64 && var.capacity_provider.database_pool_size >= 1 && var.capacity_provider.database_pool_size <= 64, true)
    error_message = "capacity_provider.concurrency must be from 2 to 64, and database_pool_size from 1 to 64."
  }
}

variable "log_level" {
  description = "WARN drops the lines of successful requests, and with them their metrics."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["DEBUG", "INFO", "WARN"], var.log_level)
    error_message = "log_level must be DEBUG, INFO or WARN: ERROR would drop the metric of the alarm on stale secrets."
  }
}

variable "throttling_rate_limit" {
  description = "Requests per second, of all callers together."
  type        = number
  default     = 100

  validation {
    condition     = var.throttling_rate_limit >= 1
    error_message = "throttling_rate_limit must be at least 1."
  }
}

variable "throttling_burst_limit" {
  description = "Simultaneous requests. If it is far above reserved_concurrency, Lambda rejects the excess."
  type        = number
  default     = 40

  validation {
    condition     = var.throttling_burst_limit >= 1
    error_message = "throttling_burst_limit must be at least 1."
  }
}

variable "upstream_url" {
  description = "URL of the host that serves the other functions. A request for one of them is passed to this URL, followed by the request's whole path. If it is null, other functions get 404."
  type        = string
  default     = null

  validation {
    condition     = var.upstream_url == null || can(regex("^https://[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*$", var.upstream_url))
    error_message = "upstream_url must be https:// and a host name, optionally with a port and a path, without a slash at the end."
  }

  validation {
    condition     = !can(regex("/functions/v1$", var.upstream_url))
    error_message = "upstream_url must not end with /functions/v1: the request's whole path follows it."
  }
}

variable "upstream_serves" {
  description = "`all` passes list-chat-sessions to upstream_url too: before its callers move, or to move them back. The default is `others`."
  type        = string
  default     = "others"

  validation {
    condition     = contains(["others", "all"], var.upstream_serves)
    error_message = "upstream_serves must be others or all."
  }
}

variable "api_keys_secret_arn" {
  description = "Complete ARN of the secret with the key ring. With api_keys_shards, the ARN up to the name, with {shard} in it and without a suffix."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:secretsmanager:[^:]+:[0-9]{12}:secret:(.+-[A-Za-z0-9]{6}|[^{}]*[{]shard[}][^{}]*)$", var.api_keys_secret_arn))
    error_message = "api_keys_secret_arn must be the complete ARN, with the hyphen and six characters that Secrets Manager adds to the name: IAM matches nothing without them. Of shards, it must have {shard} in the name instead."
  }
}

variable "api_keys_shards" {
  description = "Secrets that share the keys, for more than 1,200 of them: 1, 16 or 256."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 16, 256], var.api_keys_shards)
    error_message = "api_keys_shards must be 1, 16 or 256."
  }
}

variable "api_keys_max_age_seconds" {
  description = "Age in seconds at which the key ring is refreshed, 0 to 3600. 0 means 1 with sync-keys, and secret_max_age_seconds without it."
  type        = number
  default     = 0

  validation {
    condition     = var.api_keys_max_age_seconds >= 0 && var.api_keys_max_age_seconds <= 3600
    error_message = "api_keys_max_age_seconds must be from 0 to 3600 seconds."
  }
}

variable "sync_keys_database_secret_arn" {
  description = "Complete ARN of the secret with the credentials of the role of docs/sync-keys-role.sql. If it is null, there is no sync-keys."
  type        = string
  default     = null

  validation {
    condition     = var.sync_keys_database_secret_arn == null || can(regex("^arn:[^:]+:secretsmanager:[^:]+:[0-9]{12}:secret:.+-[A-Za-z0-9]{6}$", var.sync_keys_database_secret_arn))
    error_message = "sync_keys_database_secret_arn must be the complete ARN, with the hyphen and six characters that Secrets Manager adds to the name."
  }
}

variable "sync_keys_package" {
  description = "Zip file that contains the `bootstrap` of sync-keys, from the same build as `package`. Needed with sync_keys_database_secret_arn."
  type        = string
  default     = null
}

variable "sync_keys_schedule" {
  description = "How often sync-keys copies the product's keys into the key ring. A revoked key stops working within it."
  type        = string
  default     = "rate(1 minute)"

  validation {
    condition     = can(regex("^rate[(](1 minute|([2-9]|1[0-5]) minutes)[)]$", var.sync_keys_schedule))
    error_message = "sync_keys_schedule must be rate(1 minute), or rate(2 minutes) to rate(15 minutes)."
  }
}

variable "database_secret_arn" {
  description = "Complete ARN of the secret with the database credentials. Its own host, port and dbname take precedence over the variables."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:secretsmanager:[^:]+:[0-9]{12}:secret:.+-[A-Za-z0-9]{6}$", var.database_secret_arn))
    error_message = "database_secret_arn must be the complete ARN, with the hyphen and six characters that Secrets Manager adds to the name: IAM matches nothing without them."
  }
}

variable "jwt_secret_arn" {
  description = "Complete ARN of the secret that verifies session tokens (HS256). If it and jwks_url are null, none is accepted."
  type        = string
  default     = null

  validation {
    condition     = var.jwt_secret_arn == null || can(regex("^arn:[^:]+:secretsmanager:[^:]+:[0-9]{12}:secret:.+-[A-Za-z0-9]{6}$", var.jwt_secret_arn))
    error_message = "jwt_secret_arn must be the complete ARN, with the hyphen and six characters that Secrets Manager adds to the name: IAM matches nothing without them."
  }
}

variable "jwks_url" {
  description = "URL of the public keys that verify session tokens (RS256, ES256), instead of jwt_secret_arn."
  type        = string
  default     = null

  validation {
    condition     = var.jwks_url == null || can(regex("^https://.+$", var.jwks_url))
    error_message = "jwks_url must be an https:// URL."
  }
}

variable "jwt_issuer" {
  description = "The iss of session tokens, such as https://PROJECT.supabase.co/auth/v1."
  type        = string
  default     = null
}

variable "jwt_audience" {
  description = "The aud of session tokens."
  type        = string
  default     = "authenticated"

  validation {
    condition     = length(var.jwt_audience) >= 1
    error_message = "jwt_audience must not be empty."
  }
}

variable "database_host" {
  description = "Host of the database, if the secret has none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z0-9_-]{1,63}([.][A-Za-z0-9_-]{1,63})*)?$", var.database_host))
    error_message = "database_host must be a host name, without scheme or port."
  }
}

variable "database_port" {
  description = "Port of the database, if the secret has none."
  type        = number
  default     = 5432

  validation {
    condition     = var.database_port >= 1 && var.database_port <= 65535
    error_message = "database_port must be from 1 to 65535."
  }
}

variable "database_name" {
  description = "Name of the database, if the secret has none."
  type        = string
  default     = "postgres"
}

variable "secrets_manager_url" {
  description = "URL of the VPC endpoint for Secrets Manager, if it has no private DNS."
  type        = string
  default     = null

  validation {
    condition     = var.secrets_manager_url == null || can(regex("^https?://.+$", var.secrets_manager_url))
    error_message = "secrets_manager_url must be a URL."
  }
}

variable "secrets_key_arn" {
  description = "KMS key of the secrets, if it is not the account's default, aws/secretsmanager."
  type        = string
  default     = null

  validation {
    condition     = var.secrets_key_arn == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.secrets_key_arn))
    error_message = "secrets_key_arn must be the ARN of a KMS key."
  }
}

variable "database_iam_user" {
  description = "ARN of the user that the function logs in as with IAM, instead of a password: arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE-ID/USER."
  type        = string
  default     = null

  validation {
    condition     = var.database_iam_user == null || can(regex("^arn:[^:]+:rds-db:[^:]+:[0-9]{12}:dbuser:(db|cluster|prx)-[^/]+/.+$", var.database_iam_user))
    error_message = "database_iam_user must be arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE-ID/USER."
  }
}

variable "vpc" {
  description = "Subnets and security groups of the function. If it is null, the function runs outside a VPC and needs a public database."
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

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365, 731, 1827], var.log_retention_days)
    error_message = "log_retention_days must be 7, 14, 30, 60, 90, 180, 365, 731 or 1827."
  }
}

variable "logs_key_arn" {
  description = "KMS key of the logs. Its policy must allow CloudWatch Logs to use it."
  type        = string
  default     = null

  validation {
    condition     = var.logs_key_arn == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.logs_key_arn))
    error_message = "logs_key_arn must be the ARN of a KMS key."
  }
}

variable "alarm_topic_arn" {
  description = "SNS topic that alarms notify."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:.+:sns:.+$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic."
  }
}

variable "latency_alarm_ms" {
  description = "Threshold of the latency alarm for the 99th percentile, in milliseconds."
  type        = number
  default     = 1500

  validation {
    condition     = var.latency_alarm_ms >= 1
    error_message = "latency_alarm_ms must be at least 1."
  }
}
