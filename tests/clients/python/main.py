"""Calls the running function with the client generated from openapi.yaml: python main.py URL TOKEN"""

import sys
from typing import get_args, get_type_hints

from list_chat_sessions_client import AuthenticatedClient
from list_chat_sessions_client.api.default import list_chat_sessions
from list_chat_sessions_client.models import Error, ErrorDetailCode, ListRequest, Page, StatusFilter

url, token = sys.argv[1:]

for field in ("limit", "offset"):
    types = get_args(get_type_hints(ListRequest)[field])
    assert int in types and float not in types, f"{field} is {types}"

client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
page = list_chat_sessions.sync(client=client, body=ListRequest(status=StatusFilter.ACTIVE))
assert isinstance(page, Page), page
assert page.sessions and all(session.status == "active" for session in page.sessions)

one = list_chat_sessions.sync(client=client, body=ListRequest(limit=1, offset=1))
assert isinstance(one, Page) and len(one.sessions) == 1, one

stranger = AuthenticatedClient(base_url=url, token="unknown", raise_on_unexpected_status=True)
error = list_chat_sessions.sync(client=stranger, body=ListRequest())
assert isinstance(error, Error) and error.error.code == ErrorDetailCode.UNAUTHORIZED, error
print(f"Python: {len(page.sessions)} active sessions of {one.total}")
