"""TLS verification cannot be switched off by accident: there is no switch, anywhere.

Looks at every line of Python that the project ships or shows.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from availability import require_program
from gevent import ssl
from security_certificates import PAST, context_of
from security_peers import nothing_was_handed_on, reasons, refusal
from security_recipes import examples

import geventconnpool
from geventconnpool.cli import _parser
from geventconnpool.cli.demo import certificates
from geventconnpool.cli.demo.pool import DemoPool
from geventconnpool.cli.demo.server import DemoServer

FORBIDDEN = {
    "CERT_NONE": "takes any certificate",
    "CERT_OPTIONAL": "takes no certificate for one",
    "_create_unverified_context": "takes any certificate",
    "_create_stdlib_context": "takes any certificate",
    "_create_default_https_context": "changes what everybody else verifies",
    "PROTOCOL_TLS": "verifies nothing unless told to",
    "PROTOCOL_SSLv23": "verifies nothing unless told to",
    "PROTOCOL_SSLv3": "is broken",
    "PROTOCOL_TLSv1": "is out of date",
    "PROTOCOL_TLSv1_1": "is out of date",
    "MINIMUM_SUPPORTED": "allows what is out of date",
    "SSLv3": "is broken",
    "TLSv1": "is out of date",
    "TLSv1_1": "is out of date",
    "disable_warnings": "hides what is not verified",
}
"""Names that no code of ours may use."""

SWITCH = re.compile(
    r"(no_?)?(ssl_?|tls_?|cert_?)?verify(_?(ssl|tls|certs?|host(name)?))?|(in|un)secure"
)
"""Names that options have by which verification is switched off elsewhere."""

NEED_CONTEXT = {
    "SMTP_SSL": "context",
    "starttls": "context",
    "IMAP4_SSL": "ssl_context",
    "FTP_TLS": "context",
    "POP3_SSL": "context",
    "stls": "context",
}
"""Python's own clients verify nothing without one."""

KINDS = {"PROTOCOL_TLS_CLIENT", "PROTOCOL_TLS_SERVER"}


def mistakes(source: str) -> list[str]:
    """What in this Python might switch verification off."""
    return [
        f"line {getattr(node, 'lineno', 0)}: {complaint}"
        for node in ast.walk(ast.parse(source))
        for complaint in _complaints(node)
    ]


def _complaints(node: ast.AST) -> Iterator[str]:
    for name in _names(node):
        if name in FORBIDDEN:
            yield f"{name} {FORBIDDEN[name]}"
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Attribute):
                yield from _complaints_about_setting(target.attr, node.value)
    elif isinstance(node, ast.keyword) and node.arg is not None:
        yield from _complaints_about_setting(node.arg, node.value)
    elif isinstance(node, ast.arg) and SWITCH.fullmatch(node.arg):
        yield f"a parameter {node.arg}"
    elif isinstance(node, ast.Call):
        yield from _complaints_about_call(node)


def _names(node: ast.AST) -> list[str]:
    """The names that *node* itself uses, also those for getattr and the like."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    return []


def _complaints_about_setting(name: str, value: ast.expr) -> Iterator[str]:
    if name == "check_hostname" and not (isinstance(value, ast.Constant) and value.value is True):
        yield "check_hostname is set to something else than True"
    if name == "verify_mode" and "CERT_REQUIRED" not in _names(value):
        yield "verify_mode is set to something else than CERT_REQUIRED"
    if name in ("verify_flags", "cert_reqs", "assert_hostname"):
        yield f"{name} is set"
    if SWITCH.fullmatch(name) and isinstance(value, ast.Constant) and not value.value:
        yield f"{name} is switched off"


def _complaints_about_call(call: ast.Call) -> Iterator[str]:
    name = (_names(call.func) or [""])[0]
    given = {keyword.arg for keyword in call.keywords}
    if name == "SSLContext" and not (call.args and KINDS & {*_names(call.args[0])}):
        yield "an SSLContext that is neither a client's nor a server's"
    if name in NEED_CONTEXT and NEED_CONTEXT[name] not in given:
        yield f"{name}() without a context"
    if name == "wrap_socket" and "ssl" in _names(getattr(call.func, "value", call.func)):
        yield "ssl.wrap_socket() verifies nothing"
    if name == "wrap_socket" and not given & {"server_hostname", "server_side"}:
        yield "wrap_socket() without a host name"


BAD = {
    "context.verify_mode = ssl.CERT_NONE": "CERT_NONE",
    "from ssl import CERT_NONE": "CERT_NONE",
    "setattr(context, 'verify_mode', getattr(ssl, 'CERT_NONE'))": "CERT_NONE",
    "context.verify_mode = 0": "verify_mode",
    "context.check_hostname = False": "check_hostname",
    "context.check_hostname = not tls": "check_hostname",
    "connect(check_hostname=False)": "check_hostname",
    "ssl._create_unverified_context()": "_create_unverified_context",
    "ssl._create_default_https_context = f": "_create_default_https_context",
    "ssl.SSLContext()": "neither",
    "ssl.SSLContext(ssl.PROTOCOL_TLS)": "PROTOCOL_TLS",
    "ssl.wrap_socket(sock, server_hostname=name)": "ssl.wrap_socket",
    "context.wrap_socket(sock)": "host name",
    "context.minimum_version = ssl.TLSVersion.TLSv1_1": "TLSv1_1",
    "requests.get(url, verify=False)": "verify is switched off",
    "connect(tls_verify=0)": "tls_verify is switched off",
    "connect(ssl_cert_reqs=None, cert_reqs='none')": "cert_reqs",
    "def connect(host, verify=True): pass": "a parameter verify",
    "def connect(host, *, insecure=False): pass": "a parameter insecure",
    "smtplib.SMTP_SSL(host)": "SMTP_SSL",
    "client.starttls()": "starttls",
    "imaplib.IMAP4_SSL(host)": "IMAP4_SSL",
    "ftplib.FTP_TLS(host)": "FTP_TLS",
    "urllib3.disable_warnings()": "disable_warnings",
}
GOOD = [
    "context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)",
    "context.verify_mode = ssl.CERT_REQUIRED",
    "context.check_hostname = True",
    "context.minimum_version = ssl.TLSVersion.TLSv1_2",
    "context.wrap_socket(sock, server_hostname=name)",
    "smtplib.SMTP_SSL(host, context=context)",
    "def verified_context(cafile): pass",
]


class TestTheSearch:
    """It would find them."""

    @pytest.mark.parametrize(("source", "complaint"), BAD.items())
    def test_finds_every_switch(self, source: str, complaint: str) -> None:
        assert complaint in "; ".join(mistakes(source))

    @pytest.mark.parametrize("source", GOOD)
    def test_has_nothing_against_what_is_right(self, source: str) -> None:
        assert mistakes(source) == []


SHIPPED = [
    *Path(geventconnpool.__file__).parent.rglob("*.py"),
    *examples.ROOT.joinpath("benchmarks").rglob("*.py"),
    *examples.ROOT.joinpath("examples").rglob("*.py"),
    *examples.ROOT.joinpath("tests", "documentation").rglob("*.py"),
]


class TestNothingSwitchesItOff:
    def test_there_is_something_to_search(self) -> None:
        assert len(SHIPPED) > 40
        assert any("PROTOCOL_TLS_CLIENT" in file.read_text() for file in SHIPPED)

    @pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
    def test_in_the_code(self, file: Path) -> None:
        assert mistakes(file.read_text(encoding="utf-8")) == []

    @pytest.mark.parametrize("page", examples.pages(), ids=str)
    def test_on_the_pages(self, page: Path) -> None:
        """The hidden blocks, too: somebody might look there how it is done."""
        for block in examples.blocks(page):
            if block.language == "python":
                assert mistakes(block.text) == [], f"{page}:{block.line}"
            else:
                found = re.findall(
                    r"verify[\w-]*\s*=\s*(?:False|0|no)|--insecure|CERT_NONE|sslmode=\S+",
                    block.text,
                )
                assert found == [], f"{page}:{block.line}"

    def test_by_a_parameter_of_anything_public(self) -> None:
        for name in geventconnpool.__all__:
            each = getattr(geventconnpool, name)
            if callable(each) and not issubclass_of_exception(each):
                names = inspect.signature(each).parameters
                assert [p for p in names if SWITCH.fullmatch(p)] == [], name

    def test_by_an_option_of_a_command(self) -> None:
        (commands,) = (
            action.choices
            for action in _parser()._actions
            if isinstance(action, argparse._SubParsersAction)
        )
        options = [
            option.lstrip("-").replace("-", "_")
            for parser in commands.values()
            for action in parser._actions
            for option in action.option_strings
        ]
        assert "tls" in options
        assert [option for option in options if SWITCH.fullmatch(option)] == []

    def test_by_the_environment(self) -> None:
        """Nobody reads it but to hand it on to a child."""
        readers = {
            file.name
            for file in SHIPPED
            if "geventconnpool" in file.parts
            and re.search(r"\benviron\b|\bgetenv\b", file.read_text())
        }
        assert readers <= {"supervisor.py"}


def issubclass_of_exception(each: object) -> bool:
    return isinstance(each, type) and issubclass(each, BaseException)


class TestTheDemo:
    """``demo --tls`` verifies its own server, although it made the certificate itself."""

    @pytest.fixture(params=["trustme", "openssl"])
    def made(self, request, trustme, tmp_path, monkeypatch) -> certificates.Certificate:
        if request.param == "openssl":
            require_program("openssl")
            monkeypatch.setattr(certificates, "_make_with_trustme", lambda certificate: False)
        return certificates.make_certificate(tmp_path)

    @pytest.fixture
    def start(self):
        """Starts the demo's server with a context, and the demo's pool against it."""
        started = []

        def start(context, made, size=1):
            server = DemoServer(context=context)
            trusting = certificates.client_context(made)
            pool = DemoPool(size, server.port, trusting, lambda event: None)
            started.append((server, pool))
            return server, pool

        yield start
        for server, pool in started:
            pool.close()
            server.stop()

    def test_trusts_the_certificate_that_was_made(self, made, start) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.chain, made.key)
        server, pool = start(context, made)
        with pool.get(timeout=10) as c:
            assert c.ask("hello") == "hello"
        assert server.figures.sessions == 1

    @pytest.mark.parametrize("wrong", ["authority", "name", "date"])
    def test_refuses_every_other(self, wrong, made, start, trustme) -> None:
        authority = trustme.CA()
        if wrong == "authority":
            issued = authority.issue_cert(certificates.HOST_NAME)
        else:
            authority.cert_pem.write_to_path(str(made.authority))
            issued = (
                authority.issue_cert("other.example.org")
                if wrong == "name"
                else authority.issue_cert(certificates.HOST_NAME, not_after=PAST)
            )
        server, pool = start(context_of(issued), made)
        error = refusal(pool)
        assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
        assert set(reasons(pool)) == {"connect_failed"}
        assert server.figures.sessions == 0

    def test_refuses_a_server_that_goes_on_in_clear(self, made, make_peer) -> None:
        def welcome(visit):
            visit.sock.recv(1)
            visit.say(b"WELCOME 1\n")
            visit.wait_for_end()

        peer = make_peer(welcome)
        trusting = certificates.client_context(made)
        with DemoPool(1, peer.address[1], trusting, lambda event: None) as pool:
            assert isinstance(refusal(pool).__cause__, ssl.SSLError)
            nothing_was_handed_on(pool, peer)
        assert b"HELLO" not in peer.heard

    def test_context_verifies(self, made) -> None:
        context = certificates.client_context(made)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname is True
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2

    def test_the_key_is_for_nobody_else_to_read(self, made) -> None:
        assert made.key.stat().st_mode & 0o077 == 0
