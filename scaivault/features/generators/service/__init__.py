"""The use cases of secret policies: administering them, trying them out, generating by them."""
