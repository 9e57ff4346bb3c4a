"""Certificates for an upstream, sound and otherwise, made for one test run."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates; ``pem`` is what a provider's CA bundle has to hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test authority")
        self._certificate = self._make(self._key, self._name, self._name, is_authority=True)
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def context(
        self, *, host: str = "127.0.0.1", days_left: int = 1, is_signed: bool = True
    ) -> ssl.SSLContext:
        """What a server for the host shows: by this authority, or by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(host)
        made = self._make(
            key, name, self._name if is_signed else name, host=host, days_left=days_left
        )
        path = self._folder / f"{host}-{days_left}-{is_signed}.pem"
        path.write_bytes(
            made.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _make(
        self,
        key: ec.EllipticCurvePrivateKey,
        name: x509.Name,
        issuer: x509.Name,
        *,
        host: str = "",
        days_left: int = 1,
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days_left))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if host:
            named = (
                x509.IPAddress(ipaddress.ip_address(host))
                if host[0].isdigit()
                else x509.DNSName(host)
            )
            builder = builder.add_extension(x509.SubjectAlternativeName([named]), critical=False)
        signs = key if issuer == name else self._key
        return builder.sign(signs, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
