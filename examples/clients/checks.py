"""Runs checks one after the other and prints a JSON line for each."""

import json
import traceback
from importlib.metadata import version

# The package of each check, what it tries, and the function.
CHECKS = []


def check(package, feature):
    """Registers a function that fails by an exception, and may return a remark."""

    def register(function):
        CHECKS.append((package, feature, function))
        return function

    return register


def run_all(name):
    """Runs every check whose package or feature holds `name`."""
    for package, feature, function in CHECKS:
        if name not in f"{package} {feature}":
            continue
        try:
            result = function() or "works"
        except Exception as error:  # Whatever a client throws is its result.
            traceback.print_exc()
            result = f"FAILS: {type(error).__name__}: {error}"
        print(json.dumps({"client": package, "version": version(package), "feature": feature, "result": result}), flush=True)
