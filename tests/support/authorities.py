"""Certificate authorities, client certificates and revocation lists that expire at a given moment."""

import datetime
from typing import Optional

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


class Certificate:
    """A certificate with its key, until the moment `ends`."""

    def __init__(self, name: str, *, ends: datetime.datetime, issuer: "Optional[Certificate]" = None,
                 is_authority: bool = False) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = issuer or self
        builder = x509.CertificateBuilder(
            issuer_name=issuer.name, subject_name=self.name, public_key=self.key.public_key(),
            serial_number=x509.random_serial_number(), not_valid_before=LONG_AGO, not_valid_after=ends,
        ).add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        signed = builder.sign(issuer.key, hashes.SHA256())
        self.pem = signed.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()).decode()


class Authority(Certificate):
    def __init__(self, name: str = "root", *, ends: datetime.datetime, issuer: Optional[Certificate] = None) -> None:
        super().__init__(name, ends=ends, issuer=issuer, is_authority=True)

    def authority(self, *, ends: datetime.datetime) -> "Authority":
        return Authority("intermediate", ends=ends, issuer=self)

    def client(self, *, ends: datetime.datetime) -> Certificate:
        return Certificate("client", ends=ends, issuer=self)

    def crl(self, *, ends: datetime.datetime, begins: datetime.datetime = LONG_AGO, part: bool = False) -> str:
        """A revocation list without entries, in PEM; `part`: for certificates that are no authorities."""
        builder = x509.CertificateRevocationListBuilder(
            issuer_name=self.name, last_update=begins, next_update=ends)
        if part:
            builder = builder.add_extension(x509.IssuingDistributionPoint(
                None, None, only_contains_user_certs=True, only_contains_ca_certs=False, only_some_reasons=None,
                indirect_crl=False, only_contains_attribute_certs=False), critical=True)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def revocation_list(ca: trustme.CA, *certificates: trustme.LeafCert) -> bytes:
    """In PEM: these certificates of `ca` are revoked."""
    key = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    now = datetime.datetime(2020, 1, 1)
    made = x509.CertificateRevocationListBuilder(issuer.subject, now, now + datetime.timedelta(days=36500))
    for certificate in certificates:
        number = x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes()).serial_number
        made = made.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build())
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
