"""Fails unless `sam local start-api` would serve the function's route from the output of `sam build`.

usage: routes.py BUILD_FOLDER, in the Python environment of the SAM CLI

Reads the built templates with SAM's own classes, as start-api does before it starts a container, so no container engine is
needed. SAM ignores conditions: with either ApiType it reads the nested stack too, and serves the HTTP API's routes. So the
nested stack is also read by itself, with a parameter that names a function.
"""

import sys
from pathlib import Path

from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

PATH = "/functions/v1/list-chat-sessions"
METHODS = {"POST", "OPTIONS"}


def check(template: Path, parameters: dict):
    """Reads one built template; exits unless it routes both methods to the function."""
    stacks, remote = SamLocalStackProvider.get_stacks(str(template), parameter_overrides=parameters)
    if remote:
        sys.exit(f"{template} with {parameters}: start-api would ignore the nested stacks {remote}")
    routes = ApiProvider(stacks, cwd=str(template.parent)).routes
    served = {
        method
        for route in routes
        if (route.path, route.function_name) == (PATH, "Function")
        for method in route.methods
    }
    if not METHODS <= served:
        sys.exit(
            f"{template} with {parameters}: start-api would not serve {sorted(METHODS - served)} {PATH}, only {routes}"
        )
    print(f"{template.name} of {template.parent.name} with {parameters}: {sorted(served)} {PATH}")


build = Path(sys.argv[1])
check(build / "template.yaml", {"ApiType": "http"})
check(build / "template.yaml", {"ApiType": "rest"})
check(build / "template.yaml", {"ApiType": "http", "UpstreamUrl": "https://old.example.com"})
check(
    build / "RestApi" / "template.yaml",
    {"Name": "local", "FunctionAliasArn": "arn:aws:lambda:us-east-1:123456789012:function:Function:live"},
)
