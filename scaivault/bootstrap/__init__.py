"""The switchboards: settings in, everything wired out. `api` serves, `worker` works, both on `base`."""
