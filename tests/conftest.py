"""What every test folder shares: the skip gate, and pytest's own tester for the gate's test."""

pytest_plugins = ("tests.skipgate", "pytester")
