"""What every test may ask for: the real servers, and the house built over them."""

pytest_plugins = ["tests.servers", "tests.house", "tests.issuer", "tests.tools", "tests.turns"]
