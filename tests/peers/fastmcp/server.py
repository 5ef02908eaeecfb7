"""fastmcp's `OAuthProxy` before another authorization server: what many Python servers run.

It signs its own tokens, asks people for consent with a form, and refreshes at the server behind it
each time it is asked to refresh itself. What is ours is one tool. It remembers nothing beyond its
end, and must not reach beyond loopback. Where to read next: `tests/src/server.rs`, which starts it.

Options: `upstream`, the issuer behind it, where it registers itself; `life_seconds`.
The talk with the test is that of `control.mjs`.
"""

import json
import os
import socket
import sys
import threading
import urllib.request

import uvicorn
from fastmcp import FastMCP
from fastmcp.server.auth import OAuthProxy
from fastmcp.server.auth.providers.introspection import IntrospectionTokenVerifier
from key_value.aio.stores.memory import MemoryStore

options = json.loads(sys.argv[1])


def fetch(url, body=None):
    """A JSON document, got or, with a body, posted for."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


forgotten = set()


class Proxy(OAuthProxy):
    """An `OAuthProxy` whose operator can forget a client."""

    async def get_client(self, client_id):
        return None if client_id in forgotten else await super().get_client(client_id)


def say(value):
    """One line to the test."""
    print(json.dumps(value), flush=True)


listener = socket.create_server(("127.0.0.1", 0))
origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
behind = fetch(f"{options['upstream']}/.well-known/openid-configuration")
client = fetch(
    behind["registration_endpoint"],
    {
        "client_name": "fastmcp",
        "grant_types": ["authorization_code", "refresh_token"],
        "redirect_uris": [f"{origin}/auth/callback"],
        "token_endpoint_auth_method": "client_secret_basic",
    },
)
server = FastMCP(
    "fastmcp",
    auth=Proxy(
        base_url=origin,
        client_storage=MemoryStore(),
        fastmcp_access_token_expiry_seconds=options["life_seconds"],
        # The server behind it knows no resource but its own.
        forward_resource=False,
        jwt_signing_key="on loopback, for a test",
        token_verifier=IntrospectionTokenVerifier(
            introspection_url=behind["introspection_endpoint"],
            client_id=client["client_id"],
            client_secret=client["client_secret"],
        ),
        upstream_authorization_endpoint=behind["authorization_endpoint"],
        upstream_client_id=client["client_id"],
        upstream_client_secret=client["client_secret"],
        upstream_token_endpoint=behind["token_endpoint"],
        valid_scopes=["mcp"],
    ),
)


@server.tool
def echo(text: str) -> str:
    """Gives back the text it is given."""
    return text


def converse():
    """Does what the test asks, and ends with it."""
    for line in sys.stdin:
        forgotten.add(json.loads(line)["client_id"])
        say({"ok": None})
    os._exit(0)


class Announced(uvicorn.Server):
    """Says where it is once it serves."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        say({"port": listener.getsockname()[1], "server_url": f"{origin}/mcp"})


threading.Thread(target=converse, daemon=True).start()
app = server.http_app(path="/mcp", stateless_http=True)
Announced(uvicorn.Config(app, log_config=None, lifespan="on")).run(sockets=[listener])
