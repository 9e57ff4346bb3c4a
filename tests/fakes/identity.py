"""An OpenID Connect provider on loopback: discovery, codes with PKCE, signed ID tokens, user info; it can be told to misbehave."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "gateway", "planted-client-secret"
KID = "one"


class FakeIdentity:
    """``claims`` goes into the ID token and ``userinfo`` over it; what is None is left out."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.signs_with: Any = self.key
        self.algorithm = "RS256"
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.url = ""
        self.is_broken = False
        self.issuer_told = ""

    def sign_in(self, address: str) -> dict[str, str]:
        """What the browser brings back from the provider's page, whose address the gateway gave it."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.url}/authorize"
        asked = dict(parse_qsl(parts.query))
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form.get("code", ""), None)
        if self.is_broken or asked is None:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        is_right = challenge == asked["code_challenge"] and form.get("client_secret") == SECRET
        if not is_right or form.get("redirect_uri") != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        text = jwt.encode(claims, self.signs_with, self.algorithm, headers={"kid": KID})
        return 200, {"access_token": "planted-access", "token_type": "Bearer", "id_token": text}

    def get(self, path: str) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.issuer_told or self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            }
        if path == "/jwks":
            text = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key())
            return {"keys": [{**json.loads(text), "kid": KID, "alg": "RS256", "use": "sig"}]}
        assert path == "/userinfo"
        told = {**self.claims, **self.userinfo}
        return {name: value for name, value in told.items() if value is not None}


@contextmanager
def fake_identity() -> Iterator[FakeIdentity]:
    """A provider that answers for as long as the block lasts."""
    fake = FakeIdentity()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, fake.get(urlsplit(self.path).path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self.answer(*fake.token({k: v[0] for k, v in parse_qs(body).items()}))

        def answer(self, status: int, tree: dict[str, Any]) -> None:
            content = json.dumps(tree).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
