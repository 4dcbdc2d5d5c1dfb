"""Model Gateway: drop a model in any format into a folder, and call it.

This file stays empty of imports: children of Jobs load the package in Environments that
hold none of the gateway's own dependencies.
"""

__version__ = "0.1.0"
