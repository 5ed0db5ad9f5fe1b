"""The use cases of policies: administering them, trying them out, and guarding everything else by them."""
