"""Keys, envelopes, tokens and cursors. The only importer of `cryptography`; knows neither SQL nor HTTP."""
