"""Calls to other systems over HTTP. The only importer of `requests`."""
