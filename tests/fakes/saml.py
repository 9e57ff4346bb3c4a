"""A SAML identity provider: a certificate made for the test, metadata in a file, and answers that it signs."""

import base64
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from onelogin.saml2.constants import OneLogin_Saml2_Constants as Words
from onelogin.saml2.utils import OneLogin_Saml2_Utils as Utils

ENTITY = "https://identity.example/saml"
SSO = "https://identity.example/saml/sso"
ACS = "http://testserver/usage/sign-in/saml/acs/"
AUDIENCE = "http://testserver/usage/sign-in/saml/metadata/"

METADATA = """<?xml version="1.0"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{entity}">
  <md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>
      <ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="{sso}"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>"""

ANSWER = """<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"
 ID="_answer" Version="2.0" IssueInstant="{now}" Destination="{destination}" InResponseTo="{asked}">
<saml:Issuer>{entity}</saml:Issuer>
<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>
<saml:Assertion ID="_assertion" Version="2.0" IssueInstant="{now}"><saml:Issuer>{entity}</saml:Issuer>
<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">{subject}</saml:NameID>
<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
<saml:SubjectConfirmationData NotOnOrAfter="{ends}" Recipient="{destination}" InResponseTo="{asked}"/>
</saml:SubjectConfirmation></saml:Subject>
<saml:Conditions NotBefore="{begins}" NotOnOrAfter="{ends}"><saml:AudienceRestriction>
<saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>
<saml:AuthnStatement AuthnInstant="{now}" SessionIndex="_session"><saml:AuthnContext>
<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>
</saml:AuthnContext></saml:AuthnStatement>
<saml:AttributeStatement>{attributes}</saml:AttributeStatement></saml:Assertion></samlp:Response>"""


@dataclass
class FakeSaml:
    """What it says of the person, and how it may be wrong."""

    subject: str = "subject-1"
    attributes: dict[str, list[str]] = field(default_factory=dict)
    audience: str = AUDIENCE
    age: timedelta = timedelta(0)
    is_signed: bool = True

    def __post_init__(self) -> None:
        self.key, self.certificate = make_certificate()

    def metadata(self) -> str:
        bare = "".join(self.certificate.strip().splitlines()[1:-1])
        return METADATA.format(entity=ENTITY, sso=SSO, certificate=bare)

    def answer(self, address: str) -> str:
        """The answer to the request that the browser brings, as its form's field has it."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == SSO
        text = base64.b64decode(parse_qs(parts.query)["SAMLRequest"][0])
        asked = zlib.decompress(text, -15).decode().split('ID="')[1].split('"')[0]
        return self.encoded(self.xml(asked))

    def xml(self, asked: str) -> bytes:
        now = datetime.now(UTC) - self.age
        told = "".join(
            f'<saml:Attribute Name="{name}">'
            + "".join(f"<saml:AttributeValue>{value}</saml:AttributeValue>" for value in values)
            + "</saml:Attribute>"
            for name, values in self.attributes.items()
        )
        text = ANSWER.format(
            now=_moment(now),
            begins=_moment(now - timedelta(minutes=1)),
            ends=_moment(now + timedelta(minutes=5)),
            destination=ACS,
            asked=asked,
            entity=ENTITY,
            subject=self.subject,
            audience=self.audience,
            attributes=told,
        )
        if not self.is_signed:
            return text.encode()
        signed: Any = Utils.add_sign(
            text, self.key, self.certificate, False, Words.RSA_SHA256, Words.SHA256
        )
        return signed if isinstance(signed, bytes) else str(signed).encode()

    @staticmethod
    def encoded(xml: bytes) -> str:
        return base64.b64encode(xml).decode()


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def make_certificate() -> tuple[str, str]:
    """A private key and a certificate for it, as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "identity.example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(
        now + timedelta(days=1)
    )
    certificate = made.sign(key, hashes.SHA256())
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return text.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()
