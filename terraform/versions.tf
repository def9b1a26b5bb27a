terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.24, < 7.0" # capacity_provider_config
    }
  }
}
