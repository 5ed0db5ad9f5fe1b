"""JSON Web Tokens as their issuer's public keys vouch for them. Verification only: the vault signs none."""
