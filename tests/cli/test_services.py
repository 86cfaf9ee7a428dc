"""Ports of services: what two commands that start at the same moment choose."""

import socket
import subprocess
import sys

from cli import services
from core.keys import ROOT

CHOOSE = "import sys; from cli.services import free_port; print(free_port(int(sys.argv[1])), flush=True); sys.stdin.read()"


def test_two_commands_at_once_choose_different_ports(monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHLOOM_LEASES", str(tmp_path))
    with socket.socket() as probe:
        probe.bind((services.LOOPBACK, 0))
        wanted = probe.getsockname()[1]
    started = [
        subprocess.Popen([sys.executable, "-c", CHOOSE, str(wanted)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        chosen = [int(process.stdout.readline()) for process in started]
        assert len(set(chosen)) == 3 and wanted in chosen, "nothing listens there yet, and still each has a port of its own"
        assert services.free_port(wanted) not in chosen
    finally:
        for process in started:
            process.communicate()
    assert services.free_port(wanted) == services.free_port(wanted) == wanted, "free again, and the same for one that asks again"
