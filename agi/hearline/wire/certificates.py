"""The certificate and the private key of our page: what they hold, whether a browser will take them, and a pair of our
own."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hearline.core.files import private_folder, private_mode, read_regular, write_whole

MOST_BYTES = 256 * 1024
DAYS = 397  # the most that browsers take is 398
SOON_DAYS = 21
MAKER = "Hearline"
_EARLIER = timedelta(hours=1)  # for browsers whose clocks are slow
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_SPEC = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo


class BadCertificate(ValueError):
    """The message names the file and the remedy."""


@dataclass(frozen=True)
class Certificate:
    """``names``: the host names and addresses that it is for. ``ours``: made by `make`. ``fingerprint``: SHA-256, as
    browsers show it."""

    names: tuple[str, ...]
    begins: datetime
    ends: datetime
    ours: bool
    fingerprint: str

    def days_left(self, now: datetime | None = None) -> int:
        """Whole days; negative once it has ended."""
        return (self.ends - (now or datetime.now(UTC))).days


def read_certificate(file: Path) -> Certificate:
    """The first certificate of a PEM file. Raises BadCertificate."""
    return _told_by(_first(file))


def read_pair(certificate: Path, key: Path, now: datetime | None = None) -> Certificate:
    """The certificate of a pair that a server may use: valid now, for some name, with the key that belongs to it, which
    not everybody can read.

    Raises:
        BadCertificate: it is no such pair.
    """
    found, now = _first(certificate), now or datetime.now(UTC)
    try:
        mode = key.stat().st_mode
        private = serialization.load_pem_private_key(read_regular(key, MOST_BYTES), None)
    except OSError as error:
        raise BadCertificate(_unreadable(key, error)) from None
    except TypeError:
        raise BadCertificate(
            f"{key} is protected by a passphrase, which nobody could type when the server starts: write it without one "
            f"(openssl pkey -in {key} -out NEW)"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadCertificate(f"{key} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)") from None
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise BadCertificate(f"{key} can be read or written by every account of this machine: chmod o= {key}")
    if private.public_key().public_bytes(*_SPEC) != found.public_key().public_bytes(*_SPEC):
        raise BadCertificate(
            f"{key} is not the key of the first certificate in {certificate}: put the server's own certificate first, "
            "and beside it the key with which it was requested"
        )
    told = _told_by(found)
    if not told.names:
        raise BadCertificate(f"{certificate} has no subject alternative names, so no browser takes it: {_anew(told)}")
    if now >= told.ends:
        raise BadCertificate(f"{certificate} ended on {told.ends:%Y-%m-%d}: {_anew(told)}")
    if now < told.begins:
        raise BadCertificate(f"{certificate} begins on {told.begins:%Y-%m-%d %H:%M} UTC: is the clock right?")
    return told


def make(certificate: Path, key: Path, names: Sequence[str], days: int = DAYS) -> Certificate:
    """Make a pair of our own: a key on P-256, and a certificate that signs itself. Root gives the files to the owner of
    their folder. Replaces what is there: see `are_others`. Only those who share the folder (`files.write_shared`) can
    read the key.

    Args:
        names: the host names and addresses by which browsers reach the page.

    Raises:
        BadCertificate: a name is none.
        OSError: the files cannot be written.
    """
    now, private = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1())
    alternatives = [_general(name) for name in dict.fromkeys(names)]
    if not alternatives:
        raise BadCertificate("a certificate needs a name: the host name or address by which browsers reach the page")
    common = next(name for name in names if name)[:64]
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, MAKER), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now - _EARLIER + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .sign(private, hashes.SHA256())
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for file, data, mode in (
        (key, secret, None),
        (certificate, built.public_bytes(serialization.Encoding.PEM), 0o644),
    ):
        owner = _folder_for(file)
        write_whole(file, data, mode or private_mode(file.parent), owner=owner if os.geteuid() == 0 else None)
    return _told_by(built)


def made_for(certificate: Path, key: Path, names: Sequence[str]) -> bool:
    """True if these files are a pair of our own for these names that will not end soon."""
    try:
        found = read_pair(certificate, key)
        wanted = {_text(_general(name)) for name in names}
    except BadCertificate:
        return False
    return found.ours and set(found.names) == wanted and found.days_left() > SOON_DAYS


def are_others(certificate: Path, key: Path) -> bool:
    """True if one of these files is there, and `make` has not made it."""
    if not (certificate.exists() or key.exists()):
        return False
    try:
        return not read_certificate(certificate).ours
    except BadCertificate:
        return True


def _folder_for(file: Path) -> tuple[int, int]:
    """Make the folder of a file, if it is missing, for the owner of the nearest one above. Returns its owner."""
    missing = [folder for folder in file.absolute().parents if not folder.exists()]
    private_folder(file.parent)
    for folder in reversed(missing) if os.geteuid() == 0 else ():
        above = folder.parent.stat()
        os.chown(folder, above.st_uid, above.st_gid)
    owner = file.parent.stat()
    return owner.st_uid, owner.st_gid


def is_name(text: str) -> bool:
    """True if a certificate can be for this host name or address."""
    try:
        return bool(_general(text))
    except BadCertificate:
        return False


def _first(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(read_regular(file, MOST_BYTES))[0]
    except OSError as error:
        raise BadCertificate(_unreadable(file, error)) from None
    except ValueError:
        raise BadCertificate(f"{file} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)") from None


def _told_by(found: x509.Certificate) -> Certificate:
    try:
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(_text(name) for name in alternatives if isinstance(name, x509.DNSName | x509.IPAddress))
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        names = ()
    makers = [part.value for part in found.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return Certificate(
        names,
        found.not_valid_before_utc,
        found.not_valid_after_utc,
        found.issuer == found.subject and makers == [MAKER],
        found.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def _general(name: str) -> x509.DNSName | x509.IPAddress:
    """Raises BadCertificate."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        if address.is_unspecified:
            raise BadCertificate(f"{name} stands for all addresses: give the one by which browsers reach the page")
        return x509.IPAddress(address)
    try:
        host = name.removeprefix("*.").encode("idna").decode("ascii").lower()
        whole = "*." * name.startswith("*.") + host
    except UnicodeError:
        host = whole = ""
    if not whole or len(whole) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise BadCertificate(f"{name!r} is not a host name or an address: write e.g. desk.example.com or 192.0.2.10")
    return x509.DNSName(whole)


def _text(name: x509.DNSName | x509.IPAddress) -> str:
    return str(name.value)


def _unreadable(file: Path, error: OSError) -> str:
    return f"{file} cannot be read: {error.strerror}. It must be a file that the server's account may read"


def _anew(found: Certificate) -> str:
    return "run `hearline certificate make` again" if found.ours else "renew it"
