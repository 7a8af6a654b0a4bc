"""The program behind :mod:`tests.deploy.oc`: ``oc`` or ``kubectl``, as its first argument says.

It needs nothing but Python's own library, so that it starts quickly.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

ABOUT: dict[str, Any] = json.loads(Path(os.environ["OC_STAND_IN"]).read_text())
ABSENT = ("adm", "new-build", "start-build", "process", "new-app", "expose")
VALUED: tuple[str, ...] = (
    "-n",
    "--namespace",
    "-c",
    "--container",
    "--context",
    "--kubeconfig",
    "--tail",
    "-l",
)
VALUED += ("--selector", "--since", "--request-timeout", "--address", "-u", "-p", "--token")
VALUED += ("--username", "--password", "--server", "-s", "--replicas")


def main(program: str, argv: list[str]) -> None:
    with Path(ABOUT["log"]).open("a") as log:
        log.write(json.dumps([program, *argv]) + "\n")
    flags, words, rest = parse(argv)
    verb = words[0] if words else ""
    if verb in ("exec", "logs", "port-forward"):
        asked(verb, flags, words[1:], rest)
    if verb == "scale":
        scale(flags, words[1:])
    if program == "oc":
        own = {"login": login, "whoami": whoami, "project": project, "new-project": new_project}
        if verb in own:
            own[verb](flags, words[1:])
        if verb in ABSENT:
            fail(f"oc {verb} is not played by this stand-in")
    os.execv(ABOUT["kubectl"], ["kubectl", *argv])


def parse(argv: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """Flags by their names, words, and what follows ``--``."""
    flags: dict[str, str] = {}
    words: list[str] = []
    at = 0
    while at < len(argv):
        one = argv[at]
        at += 1
        if one == "--":
            return flags, words, argv[at:]
        if not one.startswith("-"):
            words.append(one)
        elif "=" in one:
            name, _, flags[name] = one.partition("=")
        elif one in VALUED and at < len(argv):
            flags[one] = argv[at]
            at += 1
        else:
            flags[one] = "true"
    return flags, words, []


def fail(what: str, code: int = 1) -> NoReturn:
    sys.stderr.write(f"error: {what}\n")
    sys.exit(code)


def end(said: str) -> NoReturn:
    print(said)
    sys.exit(0)


def first(flags: dict[str, str], *names: str) -> str:
    return next((flags[name] for name in names if name in flags), "")


def kubectl(flags: dict[str, str], *argv: str) -> str:
    """The real one's output, on the same cluster and namespace."""
    where = [f"{n}={flags[n]}" for n in ("--context", "--kubeconfig") if n in flags]
    done = subprocess.run([ABOUT["kubectl"], *where, *argv], capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        sys.exit(done.returncode)
    return done.stdout


def config(flags: dict[str, str], path: str) -> str:
    return kubectl(flags, "config", "view", "--minify", "-o", f"jsonpath={{{path}}}")


def namespace(flags: dict[str, str]) -> str:
    return first(flags, "-n", "--namespace") or config(flags, "..namespace") or "default"


# --- of oc alone -------------------------------------------------------------------------------


def login(flags: dict[str, str], words: list[str]) -> NoReturn:
    url = words[0] if words else first(flags, "-s", "--server")
    if url not in ABOUT["clusters"]:
        fail(f"dial tcp: lookup {url}: no such host")
    user = first(flags, "-u", "--username")
    if user and ABOUT["password"]:
        given = first(flags, "-p", "--password") or sys.stdin.readline().rstrip("\n")
        if given != ABOUT["password"]:
            fail("Login failed (401 Unauthorized)\nVerify you have provided the right password.")
    shutil.copyfile(ABOUT["clusters"][url], os.environ["KUBECONFIG"])
    end("Login successful.")


def whoami(flags: dict[str, str], words: list[str]) -> NoReturn:
    if "--show-server" in flags:
        end(config(flags, ".clusters[0].cluster.server"))
    kubectl(flags, "get", "--raw", "/version")  # the tests' API server reviews no tokens
    end(config(flags, ".contexts[0].context.user"))


def project(flags: dict[str, str], words: list[str]) -> NoReturn:
    if not words:
        end(f'Using project "{namespace(flags)}".')
    kubectl(flags, "get", "namespace", words[0])
    kubectl(flags, "config", "set-context", "--current", f"--namespace={words[0]}")
    end(f'Now using project "{words[0]}".')


def new_project(flags: dict[str, str], words: list[str]) -> NoReturn:
    kubectl(flags, "create", "namespace", words[0])
    project(flags, words)


# --- what this API server has no subresource for ------------------------------------------------


def scale(flags: dict[str, str], words: list[str]) -> NoReturn:
    """``kubectl scale deploy NAME --replicas=N``, as a patch."""
    kind, name = words if len(words) == 2 else words[0].split("/")
    body = json.dumps({"spec": {"replicas": int(flags["--replicas"])}})
    kubectl(flags, "-n", namespace(flags), "patch", kind, name, "--type=merge", "-p", body)
    end(f"deployment.apps/{name} scaled")


# --- what a kubelet answers --------------------------------------------------------------------


def asked(verb: str, flags: dict[str, str], words: list[str], rest: list[str]) -> NoReturn:
    where = namespace(flags)
    container = first(flags, "-c", "--container")
    if verb == "port-forward":
        forward(flags, where, words)
    selector = first(flags, "-l", "--selector")
    pods = pods_of(flags, where, words[0] if words else "", selector)
    said = ""
    for pod in pods if selector else pods[:1]:
        answer = ask(flags, verb, where, pod, rest or words[1:], container)
        if "code" in answer:
            sys.stdout.write(answer["output"])
            fail(f"command terminated with exit code {answer['code']}", answer["code"])
        said += answer["output"]
    tail = first(flags, "--tail")
    if tail and tail != "-1":
        said = "".join(said.splitlines(keepends=True)[-int(tail) :])
    sys.stdout.write(said)
    sys.exit(0)


def pods_of(flags: dict[str, str], where: str, what: str, selector: str) -> list[str]:
    """The names of the pods that ``deployment/NAME``, ``pod/NAME`` or ``NAME`` mean; those that
    run first."""
    kind, _, name = what.rpartition("/")
    if not selector and kind in ("", "pod", "pods", "po"):
        return [name]
    if not selector:
        path = "{.spec.selector.matchLabels}" if kind.startswith("dep") else "{.spec.selector}"
        found = kubectl(flags, "-n", where, "get", kind, name, "-o", f"jsonpath={path}")
        selector = ",".join(f"{k}={v}" for k, v in json.loads(found).items())
    found = kubectl(flags, "-n", where, "get", "pods", "-l", selector, "-o", "json")
    items = sorted(json.loads(found)["items"], key=runs)
    if not items:
        fail(f"no pod of {what or selector} in {where}")
    return [item["metadata"]["name"] for item in items]


def runs(pod: Any) -> bool:
    """False, which comes first, for a pod that runs and is not about to go."""
    going = "deletionTimestamp" in pod["metadata"]
    return going or pod.get("status", {}).get("phase") != "Running"


def ask(
    flags: dict[str, str], do: str, where: str, name: str, rest: list[str], container: str
) -> Any:
    said = {
        "server": config(flags, ".clusters[0].cluster.server"),
        "do": do,
        "namespace": where,
        "name": name,
        "rest": rest,
        "container": container,
    }
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(ABOUT["socket"])
        sock.sendall(json.dumps(said).encode() + b"\n")
        return json.loads(sock.makefile().readline())


def forward(flags: dict[str, str], where: str, words: list[str]) -> NoReturn:
    """Until it is ended, as kubectl does: a port here, and a Service's or pod's port there."""
    what, ports = words[0], words[1]
    here, _, there = ports.rpartition(":")
    kind, _, name = what.rpartition("/")
    if kind not in ("svc", "service", "services"):
        name = f"pod/{pods_of(flags, where, what, '')[0]}"
    answer = ask(flags, "forward", where, name, [there], "")
    if "code" in answer:
        fail(answer["output"])
    host, _, port = answer["output"].removeprefix("http://").rpartition(":")
    server = socket.create_server(("127.0.0.1", int(here or there)))
    print(f"Forwarding from 127.0.0.1:{server.getsockname()[1]} -> {there}", flush=True)
    while True:
        near, _ = server.accept()
        far = socket.create_connection((host, int(port)))
        for pair in ((near, far), (far, near)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def pump(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        other.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
