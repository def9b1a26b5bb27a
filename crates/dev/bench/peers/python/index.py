"""list-chat-sessions as a Python function on psycopg and boto3, with the same SQL and the same responses as ours for
the measured requests. `cargo dev bench` puts the SQL next to this file and runs it under a Lambda Runtime API."""

import base64
import hashlib
import http.client
import json
import os
import re
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import boto3
import psycopg
from psycopg.rows import dict_row

# See src/sessions/statement.rs.
DEEP_OFFSET = 1000
DEFAULT_LIMIT = 50

FOLDER = Path(__file__).parent
FILTERS = (("widget_id", "widget_id = %s::uuid"), ("status", "status = %s"), ("from_date", "created_at >= %s::timestamptz"))

USER = "user_id = %(user_id)s::uuid"


def statement(name):
    """Returns our statement without filters, with psycopg's placeholders. The repeated account id is named."""
    text = (FOLDER / name).read_text().split(";\n")[0].replace("user_id = $1", USER)
    return re.sub(r"LIMIT \d+ OFFSET \d+", "LIMIT %(limit)s OFFSET %(offset)s", text)


FIRST_PAGE, PAGE, DEEP_PAGE = (statement(name) for name in ("first_page.sql", "page.sql", "deep_page.sql"))


def init():
    manager = boto3.client("secretsmanager")
    ring, login = (
        json.loads(manager.get_secret_value(SecretId=os.environ[name])["SecretString"])
        for name in ("API_KEYS_SECRET_ID", "DATABASE_SECRET_ID")
    )
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as roots:
        roots.write(login["sslrootcert"])
        roots.flush()
        connection = psycopg.connect(
            host=login["host"], port=login["port"], dbname=login["dbname"], user=login["username"],
            password=login["password"], sslmode="verify-full", sslrootcert=roots.name, options="-c TimeZone=UTC",
            autocommit=True, row_factory=dict_row,
            # Unprepared, as psycopg's documentation advises behind a pooler: a prepared statement may get a generic
            # plan.
            prepare_threshold=None,
        )
    return {key["key_hash"]: key for key in ring["api_keys"]}, connection


def rfc3339(time):
    if time is None:
        return None
    text = time.isoformat().replace("+00:00", "Z")
    return text[:-1].rstrip("0") + "Z" if "." in text else text


def respond(status, body):
    headers = {"content-type": "application/json", "cache-control": "no-store", "access-control-allow-origin": "*"}
    body = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return {"statusCode": status, "headers": headers, "body": body, "isBase64Encoded": False}


def is_valid(key):
    expires_at = key.get("expires_at")
    ended = expires_at and datetime.fromisoformat(expires_at) <= datetime.now(timezone.utc)
    return key.get("is_active", True) and not ended


def handle(keys, connection, event):
    token = re.fullmatch(r"bearer +(\S+)", event["headers"].get("authorization", ""), re.IGNORECASE)
    key = keys.get(hashlib.sha256((token[1] if token else "").encode()).hexdigest())
    if key is None or not is_valid(key):
        return respond(401, {"error": {"code": "unauthorized", "message": "Unauthorized"}})
    text = event.get("body") or "{}"
    request = json.loads(base64.b64decode(text) if event.get("isBase64Encoded") else text)
    values = {"user_id": key["user_id"], "limit": request.get("limit", DEFAULT_LIMIT), "offset": request.get("offset", 0)}
    filters = ""
    for field, condition in FILTERS:
        if request.get(field):
            values[field] = request[field]
            filters += f" AND {condition.replace('%s', f'%({field})s')}"
    text = FIRST_PAGE if values["offset"] == 0 else PAGE if values["offset"] < DEEP_OFFSET else DEEP_PAGE
    rows = connection.execute(text.replace(USER, USER + filters), values).fetchall()
    total = rows[0]["total"] if rows else 0
    for row in rows:
        del row["total"]
        row["id"], row["widget_id"] = str(row["id"]), str(row["widget_id"])
        row["last_message_at"], row["created_at"] = rfc3339(row["last_message_at"]), rfc3339(row["created_at"])
    return respond(200, {"sessions": rows, "total": total})


def main():
    """The Runtime API: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html"""
    keys, connection = init()
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

    def call(method, path, body=None):
        api.request(method, f"/2018-06-01/runtime/invocation/{path}", body)
        response = api.getresponse()
        return response.headers, response.read()

    while True:
        headers, body = call("GET", "next")
        invocation = headers["lambda-runtime-aws-request-id"]
        try:
            outcome, kind = handle(keys, connection, json.loads(body)), "response"
        except Exception as error:
            outcome, kind = {"errorType": type(error).__name__, "errorMessage": str(error)}, "error"
        call("POST", f"{invocation}/{kind}", json.dumps(outcome).encode())


main()
