"""Secret policies: how the values of secrets are made."""
