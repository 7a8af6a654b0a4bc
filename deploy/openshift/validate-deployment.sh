#!/usr/bin/env bash
# Is the split deployment well? Every check is made, whatever the first ones say.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'HELP'
Check a deployment of deploy-to-openshift.sh or deploy-split.sh.

  validate-deployment.sh [NAMESPACE]     [default: vllm-semantic-router-system]

Exit status: 0 all is well, 1 something is not (all checks are made, and each says what it found).
HELP
}

case "${1:-}" in
  -h | --help) usage; exit 0 ;;
  -*) unknown "$1" ;;
esac
namespace="${1:-vllm-semantic-router-system}"
need_client
need_login

passed=0 failed=0 skipped=0
result() { # STATUS TITLE TEXT: 0 well, 2 nothing to check, anything else is a failure
  case "$1" in
    0) passed=$((passed + 1)); printf 'ok       %s\n' "$2" ;;
    2) skipped=$((skipped + 1)); printf 'skipped  %s: %s\n' "$2" "$3" ;;
    *) failed=$((failed + 1)); printf 'FAILED   %s%s\n' "$2" "${3:+: $3}" ;;
  esac
}
check() { # TITLE COMMAND...
  local title="$1" text status=0
  shift
  text="$("$@" 2>&1)" || status=$?
  result "$status" "$title" "$(printf '%s' "$text" | tail -n 6)"
}
get() { "$client" -n "$namespace" get "$@"; }
path() { get "$1" "$2" -o "jsonpath=$3"; } # KIND NAME JSONPATH

# One line each, asked for once: NAME|WANTED|AVAILABLE|CONTAINERS and NAME|CLUSTER IP.
deployments="$(get deployments -o 'jsonpath={range .items[*]}{.metadata.name}|{.spec.replicas}|{.status.availableReplicas}|{.spec.template.spec.containers[*].name}{"\n"}{end}' 2>&1)"
services="$(get services -o 'jsonpath={range .items[*]}{.metadata.name}|{.spec.clusterIP}{"\n"}{end}' 2>&1)"

row() { # TABLE NAME: its line; a failure that says so where there is none
  printf '%s\n' "$1" | grep "^$2|" || { echo "there is no $2"; return 1; }
}
available() { # DEPLOYMENT: all its pods are ready and of its present template
  local line wanted ready
  line="$(row "$deployments" "$1")" || { echo "$line"; return 1; }
  IFS='|' read -r _ wanted ready _ <<<"$line"
  [ "${wanted:-1}" = "${ready:-0}" ] || { echo "${ready:-0} of ${wanted:-1} ready"; return 1; }
}
containers() { # DEPLOYMENT NAMES
  local line
  line="$(row "$deployments" "$1")" || { echo "$line"; return 1; }
  [ "${line##*|}" = "$2" ] || { echo "wanted '$2', found '${line##*|}'"; return 1; }
}
addressed() { # SERVICE...
  local line name
  for name in "$@"; do
    line="$(row "$services" "$name")" || { echo "$line"; return 1; }
    [ -n "${line##*|}" ] || { echo "Service $name has no clusterIP"; return 1; }
  done
}
claims() {
  local found
  found="$(get pvc -o 'jsonpath={range .items[*]}{.metadata.name}={.status.phase}{"\n"}{end}')" || return 1
  [ -n "$found" ] || { echo "there are none"; return 2; }
  found="$(printf '%s\n' "$found" | grep -v '=Bound$')"
  [ -z "$found" ] || { echo "$found"; return 1; }
}
configured() {
  local text
  text="$(path configmap semantic-router-config '{.data}')" || return 1
  case "$text" in
    *172.30.64.134* | *172.30.116.177*)
      echo "a placeholder of config-split.yaml is left; write the clusterIP of the Service"
      return 1 ;;
  esac
}
asked() { "$client" -n "$namespace" exec deployment/semantic-router -c semantic-router -- "$@"; }
route() {
  local host
  host="$(path route semantic-router '{.status.ingress[0].host}' 2>/dev/null)" || { echo "there is none"; return 2; }
  [ -n "$host" ] || { echo "no router of OpenShift has admitted it"; return 1; }
}
gpus() { # whether the pods that ask for GPUs have a node
  local pods
  pods="$(get pods -o 'jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.spec.containers[*].resources.limits.nvidia\.com/gpu}{"\n"}{end}')" || return 1
  pods="$(printf '%s\n' "$pods" | awk 'NF == 3')"
  [ -n "$pods" ] || { echo "no pod asks for a GPU"; return 2; }
  printf '%s\n' "$pods" | awk '$2 == "" { print $1 " waits for a GPU"; bad = 1 } END { exit bad }'
}

check "namespace $namespace" "$client" get namespace "$namespace"
check "router: Deployment is available" available semantic-router
check "router: containers" containers semantic-router "semantic-router envoy-proxy"
check "Model-A: Deployment is available" available vllm-model-a
check "Model-B: Deployment is available" available vllm-model-b
check "Model-A: container" containers vllm-model-a model-a
check "Model-B: container" containers vllm-model-b model-b
check "claims are bound" claims
check "Services have addresses" addressed vllm-model-a vllm-model-b semantic-router
check "configuration has no placeholder" configured
check "models answer the router by their names" asked wayside doctor --config /app/config
check "Route is admitted" route
check "GPUs" gpus
printf '%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
