"""Who there is: partners, tenants, users and groups as the identity provider tells of them."""
