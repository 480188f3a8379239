"""A CA of the sandbox's own, and a certificate for localhost and for Google's names."""

import datetime as dt
import functools
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """ca: the path of the CA's certificate, which clients trust; key and certificate: the server's, in PEM."""

    ca: Path
    key: bytes
    certificate: bytes


def make(folder: Path) -> Certificates:
    """A certificate, good for a day."""
    ca_key, ca = _authority()
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(name) for name in ("localhost", "googleapis.com", "*.googleapis.com")]
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox")])
    certificate = _built(subject, ca.subject, key, ca_key, x509.SubjectAlternativeName([*names, *addresses]))
    path = folder / "ca.pem"
    path.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificates(path, pem, certificate.public_bytes(serialization.Encoding.PEM))


@functools.cache
def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    # One for the process: gRPC reads its roots once, and a test session has several sandboxes.
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox CA")])
    return key, _built(name, name, key, key, x509.BasicConstraints(ca=True, path_length=0))


def _built(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).add_extension(
        extension, critical=isinstance(extension, x509.BasicConstraints)
    )
    builder = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(days=1))
    return builder.sign(signer, hashes.SHA256())
