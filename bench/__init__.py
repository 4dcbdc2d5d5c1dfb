"""Measurements of the product, each against a named limit in the same run. Tests do not time; these do."""
