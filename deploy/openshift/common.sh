# shellcheck shell=bash
# Sourced by the scripts beside it: where wayside is, and which client of the cluster there is.

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
# shellcheck disable=SC2034  # for whoever sources this
split="$here/single-namespace"

say() { printf '%s\n' "$*" >&2; }

refuse() { # WHAT WHY...: the flag exists elsewhere, and this is why not here
  say "$1 is refused: $2"
  exit 1
}

unknown() { # FLAG
  say "unknown option: $1 (see --help)"
  exit 1
}

value_of() { # FLAG COUNT: ends the script where the flag has no value
  [ "$2" -ge 2 ] || { say "$1 needs a value (see --help)"; exit 1; }
}

# The repository's own wayside, else the one on PATH.
if [ -x "$repository/.venv/bin/wayside" ]; then
  wayside="$repository/.venv/bin/wayside"
elif command -v wayside >/dev/null; then
  wayside="$(command -v wayside)"
else
  wayside=""
fi

need_wayside() {
  [ -n "$wayside" ] || { say "there is no wayside: pip install '$repository', or uv sync there"; exit 127; }
}

# oc, else kubectl: everything here but logging in and projects works with both.
client=""
need_client() {
  if command -v oc >/dev/null; then
    client=oc
  elif command -v kubectl >/dev/null; then
    client=kubectl
    say "oc is not installed: kubectl is used"
  else
    say "neither oc nor kubectl is installed"
    exit 127
  fi
}

need_login() {
  if [ "$client" = oc ]; then
    oc whoami >/dev/null 2>&1 || { say "nobody is logged in: oc login https://api.CLUSTER:6443"; exit 1; }
  fi
}

serves() { # GROUP KIND: whether the cluster has this kind
  "$client" api-resources --api-group="$1" -o name 2>/dev/null | grep -q "^$2\."
}
