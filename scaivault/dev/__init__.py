"""The house on one machine: embedded PostgreSQL and Valkey, a file-backed KMS key, and gunicorn over them."""
