"""A certificate for the demo's server, made on the spot; the client trusts nothing else."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from gevent import ssl, subprocess

__all__ = ["HOST_NAME", "Certificate", "CertificateError", "client_context", "make_certificate"]

HOST_NAME = "localhost"


class CertificateError(Exception):
    """No certificate could be made; the text says what to do."""


@dataclass(frozen=True)
class Certificate:
    """Files that a server and its clients need."""

    chain: Path
    key: Path
    authority: Path


def make_certificate(directory: Path) -> Certificate:
    """Make a certificate for ``localhost``, with ``trustme`` or the ``openssl`` command."""
    certificate = Certificate(
        directory / "server.pem", directory / "server.key", directory / "authority.pem"
    )
    if not _make_with_trustme(certificate):
        _make_with_openssl(certificate)
    return certificate


def client_context(certificate: Certificate) -> ssl.SSLContext:
    """Verifies the certificate and the host name. A cooperative context, patched or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certificate.authority)
    return context


def _make_with_trustme(certificate: Certificate) -> bool:
    try:
        import trustme
    except ImportError:
        return False
    authority = trustme.CA()
    issued = authority.issue_cert(HOST_NAME)
    authority.cert_pem.write_to_path(str(certificate.authority))
    certificate.key.touch(mode=0o600)
    issued.private_key_pem.write_to_path(str(certificate.key))
    for number, pem in enumerate(issued.cert_chain_pems):
        pem.write_to_path(str(certificate.chain), append=number > 0)
    return True


def _make_with_openssl(certificate: Certificate) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise CertificateError(
            "--tls needs something to make a certificate with: "
            "pip install geventconnpool[tls], or the openssl command"
        )
    # Its own authority: a server's certificate that is trusted by itself and nothing else.
    command = [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={HOST_NAME}", "-addext", f"subjectAltName=DNS:{HOST_NAME}"]
    command += ["-keyout", os.fspath(certificate.key), "-out", os.fspath(certificate.chain)]
    made = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
    if made.returncode != 0:
        said = made.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CertificateError(f"--tls: the openssl command failed: {said[-1] if said else ''}")
    shutil.copy(certificate.chain, certificate.authority)
