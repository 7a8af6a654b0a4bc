#!/usr/bin/env bash
# Take away what deploy-to-openshift.sh made; `--help` says how. The work is `wayside deploy destroy`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'HELP'
Take away exactly what deploy-to-openshift.sh or deploy-split.sh created.

  cleanup-openshift.sh [options]

  -n, --namespace NS     [default: $SEMANTIC_ROUTER_NAMESPACE, vllm-semantic-router-system]
  -l, --level LEVEL      deployment: everything but claims, and the namespace they are in (default)
                         namespace:  claims and what is on them, too, and the namespace, if it was
                                     made for this and nobody else has anything in it
                         all:        the same; nothing is made outside of the namespace
  -s, --server URL       log in there first   [default: $OPENSHIFT_SERVER, else where you are]
  -u, --user NAME        [default: $OPENSHIFT_USER, admin]
  -f, --force            ask no questions
  --dry-run              only list what would go
  -h, --help

The password is read from $OPENSHIFT_PASSWORD, or oc asks for it: an argument of a command can be
read by everybody on the machine, so -p and --password are refused. Whoever is logged in already
needs none.
HELP
}

namespace="${SEMANTIC_ROUTER_NAMESPACE:-vllm-semantic-router-system}"
server="${OPENSHIFT_SERVER:-}" user="${OPENSHIFT_USER:-admin}"
level=deployment force='' dry=''
while [ $# -gt 0 ]; do
  case "$1" in
    -n | --namespace) value_of "$1" $#; namespace="$2"; shift ;;
    -l | --level) value_of "$1" $#; level="$2"; shift ;;
    -s | --server) value_of "$1" $#; server="$2"; shift ;;
    -u | --user) value_of "$1" $#; user="$2"; shift ;;
    -p | --password | --password=*)
      refuse "${1%%=*}" "everybody on this machine can read arguments; set OPENSHIFT_PASSWORD" ;;
    -f | --force) force=yes ;;
    --no-wait)
      refuse "$1" "what was created is forgotten only once it is gone; put & behind the command" ;;
    --dry-run) dry=yes ;;
    -h | --help) usage; exit 0 ;;
    *) unknown "$1" ;;
  esac
  shift
done

data=()
case "$level" in
  deployment) ;;
  namespace | all) data=(--with-data) ;;
  *) say "--level $level: write deployment, namespace or all"; exit 1 ;;
esac

need_wayside
need_client
if [ -n "$server" ]; then
  [ "$client" = oc ] || refuse --server "logging in needs oc; choose the cluster by its context"
  if [ -n "${OPENSHIFT_PASSWORD:-}" ]; then # by standard input: printf is the shell's own
    printf '%s\n' "$OPENSHIFT_PASSWORD" | oc login "$server" -u "$user"
  else
    oc login "$server" -u "$user"
  fi
fi
need_login

deploy() {
  "$wayside" deploy "$@" --target openshift-split -f "$split/wayside.yaml" --namespace "$namespace"
}

if [ -n "$dry" ]; then
  say "of these, everything would go${data[*]:+, claims too}:"
  deploy status || true
  exit 0
fi
deploy destroy ${force:+--yes} "${data[@]}"
