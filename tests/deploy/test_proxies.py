"""What stands before the gateway: its own program reads the file, and what is for the inside is closed."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from django.urls import get_resolver

from llmgateway import hot_urls
from tests.processes import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PROXIES = ROOT / "deploy" / "proxies"
INSIDE = ("/metrics", "/health/providers")
CLOSED = (*INSIDE, "/metrics?x=1", "/metrics/", "/%6detrics", "//metrics", "/health//providers",
          "/health/../metrics", "/health/prov%69ders", "/health%2Fproviders")  # fmt: skip
OPEN = ("/", "/health/live", "/health/ready", "/v1/models", "/admin/", "/v1/metrics")


class Gateway(BaseHTTPRequestHandler):
    """Says which address arrived."""

    def do_GET(self):
        body = f"arrived: {self.path}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        pass


@pytest.fixture
def upstream() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def running(command: list[str | Path], port: int, folder: Path) -> Iterator[httpx.Client]:
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"}
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

            def answers() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    return client.get("/health/live").is_success
                except httpx.TransportError:
                    return False

            wait_until(answers)
            yield client
    finally:
        process.terminate()
        process.wait(10)


def check_what_is_closed(client: httpx.Client) -> None:
    for path in OPEN:
        answer = client.get(path)
        assert answer.text == f"arrived: {path}", path
    for path in CLOSED:
        answer = client.get(httpx.URL(str(client.base_url), raw_path=path.encode()))
        assert answer.status_code in {403, 404}, path
        assert "arrived" not in answer.text


@pytest.mark.processes
@pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx")
def test_nginx_reads_its_file_and_closes_what_is_for_the_inside(tmp_path, upstream):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=gateway.example",
         "-keyout", key, "-out", certificate],
        capture_output=True, check=True,
    )  # fmt: skip
    port = free_port()
    text = (PROXIES / "nginx.conf").read_text()
    text = text.replace("/etc/letsencrypt/live/gateway.example/fullchain.pem", str(certificate))
    text = text.replace("/etc/letsencrypt/live/gateway.example/privkey.pem", str(key))
    text = text.replace(
        "127.0.0.1:8000;\n    keepalive 64", f"127.0.0.1:{upstream};\n    keepalive 64"
    )
    # In clear at a port of the test's own; one without rights may not have 443 and 80.
    text = re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.M)
    text = text.replace(
        "listen 443 ssl http2;",
        f"listen 127.0.0.1:{port};\n    listen 127.0.0.1:{free_port()} ssl http2;",
    )
    text = text.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    (tmp_path / "site.conf").write_text(text)
    places = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = tmp_path / "nginx.conf"
    whole.write_text(
        f"daemon off; pid {tmp_path}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}include {tmp_path}/site.conf;\n}}\n"
    )
    nginx = [shutil.which("nginx"), "-e", "stderr", "-p", tmp_path, "-c", whole]
    told = subprocess.run([*nginx, "-t"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert not [
        line for line in told.stderr.splitlines() if "[warn]" in line and "http2" not in line
    ]
    with running(nginx, port, tmp_path) as client:
        check_what_is_closed(client)


@pytest.mark.processes
@pytest.mark.skipif(not shutil.which("caddy"), reason="there is no caddy")
def test_caddy_reads_its_file_and_closes_what_is_for_the_inside(tmp_path, upstream):
    caddy = shutil.which("caddy")
    told = subprocess.run(
        [caddy, "adapt", "--pretty", "--adapter", "caddyfile", "--config", PROXIES / "Caddyfile"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "gateway.example" in told.stdout
    port = free_port()
    text = (PROXIES / "Caddyfile").read_text()
    text = text.replace("gateway.example {", f"http://127.0.0.1:{port} {{")
    text = text.replace("127.0.0.1:8000 {", f"127.0.0.1:{upstream} {{")
    file = tmp_path / "Caddyfile"
    file.write_text("{\n\tadmin off\n}\n" + text)
    with running(
        [caddy, "run", "--adapter", "caddyfile", "--config", file], port, tmp_path
    ) as client:
        check_what_is_closed(client)


@pytest.mark.parametrize("name", sorted(path.name for path in PROXIES.iterdir()))
def test_every_proxys_file_names_what_stays_inside(name):
    text = (PROXIES / name).read_text()
    for path in INSIDE:
        assert path.removeprefix("/") in text


def test_nginx_bounds_the_connections_of_an_address():
    text = (PROXIES / "nginx.conf").read_text()
    zone = re.search(r"^limit_conn_zone \$binary_remote_addr zone=(\w+):", text, re.M)[1]
    assert re.search(rf"^    limit_conn {zone} \d+;$", text, re.M)


def ingress() -> dict:
    return yaml.safe_load((ROOT / "deploy/kubernetes/ingress.example.yaml").read_text())


def is_routed(path: str) -> bool:
    (rule,) = ingress()["spec"]["rules"]
    for entry in rule["http"]["paths"]:
        asked, had = path.strip("/").split("/"), entry["path"].strip("/").split("/")
        if entry["pathType"] == "Exact" and path == entry["path"]:
            return True
        if entry["pathType"] == "Prefix" and asked[: len(had)] == had:
            return True
    return False


def every_address() -> set[str]:
    """The beginnings of all addresses that the gateway serves."""
    sockets = (ROOT / "llmgateway/live_view/sockets.py").read_text()
    known = {"/" + re.search(r'path\("([^"]+)"', sockets)[1], "/static/x"}
    known |= {"/" + str(entry.pattern) for entry in get_resolver("llmgateway.urls").url_patterns}
    named = [str(entry.pattern) for entry in hot_urls.urlpatterns]
    return known | {"/" + text for text in named if not text.startswith("^")}


def test_the_ingress_routes_all_but_what_stays_inside():
    addresses = every_address()
    assert {"/", "/admin/", "/v1/messages", "/ws/live/", *INSIDE} <= addresses
    assert {path for path in addresses if not is_routed(path)} == set(INSIDE)


def test_the_ingress_bounds_the_connections_of_an_address():
    notes = ingress()["metadata"]["annotations"]
    assert int(notes["nginx.ingress.kubernetes.io/limit-connections"]) > 0
