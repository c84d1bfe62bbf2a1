"""A private certificate authority for the sandbox: made once per data folder, for servers and for clients."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = dt.timedelta(days=825)
SERVER_NAMES = ("localhost", "sandbox", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Issued:
    """PEM files of one certificate and its private key."""

    certificate: Path
    key: Path


class Authority:
    """Creates, or loads, the authority in ``folder``; :attr:`bundle` is what a client must trust."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.bundle = folder / "ca.pem"
        key_file = folder / "ca.key"
        if self.bundle.exists() and key_file.exists():
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{key_file} is not a key of this sandbox: delete the folder")
            self._key = key
            self._certificate = x509.load_pem_x509_certificate(self.bundle.read_bytes())
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Interchange sandbox authority")])
        self._certificate = (
            self._builder(name, name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(self._key, hashes.SHA256())
        )
        _write_private(key_file, _pem(self._key))
        self.bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, public_host: str = "localhost") -> Issued:
        """A certificate for every name and address that a sandbox server is reached by."""
        names = [_general_name(name) for name in dict.fromkeys((*SERVER_NAMES, public_host))]
        # Kept per name: a later start with another public name needs another certificate.
        label = "server-" + public_host.replace(":", "-")
        return self._issue(
            label, names, ExtendedKeyUsageOID.SERVER_AUTH, lambda: ec.generate_private_key(ec.SECP256R1())
        )

    def client(self, name: str) -> Issued:
        """A client certificate with an RSA key, as Microsoft's identity platform and the bus ask for."""
        return self._issue(
            f"client-{name}",
            [x509.DNSName(name)],
            ExtendedKeyUsageOID.CLIENT_AUTH,
            lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        )

    def _issue(
        self,
        label: str,
        names: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        new_key: Callable[[], ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey],
    ) -> Issued:
        issued = Issued(certificate=self._folder / f"{label}.pem", key=self._folder / f"{label}.key")
        if issued.certificate.exists() and issued.key.exists():
            return issued
        key = new_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Interchange sandbox {label}")])
        certificate = (
            self._builder(subject, self._certificate.subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        _write_private(issued.key, _pem(key))
        issued.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return issued

    @staticmethod
    def _builder(
        subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + VALID)
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
