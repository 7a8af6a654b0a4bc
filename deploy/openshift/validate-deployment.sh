#!/usr/bin/env bash
# Is the split deployment well? Twelve checks; all of them are made, whatever the first ones say.
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

same() { # WANTED FOUND
  [ "$1" = "$2" ] || { echo "wanted '$1', found '$2'"; return 1; }
}
available() { # DEPLOYMENT: all its pods are ready and of its present template
  local wanted ready
  wanted="$(path deployment "$1" '{.spec.replicas}')" || return 1
  ready="$(path deployment "$1" '{.status.availableReplicas}')"
  [ "${wanted:-1}" = "${ready:-0}" ] || { echo "${ready:-0} of ${wanted:-1} ready"; return 1; }
}
containers() { # DEPLOYMENT NAMES
  same "$2" "$(path deployment "$1" '{.spec.template.spec.containers[*].name}')"
}
addressed() { # SERVICE
  local ip
  ip="$(path service "$1" '{.spec.clusterIP}')" || { echo "there is no Service $1"; return 1; }
  [ -n "$ip" ] || { echo "Service $1 has no clusterIP"; return 1; }
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
  serves route.openshift.io routes || { echo "this cluster has no Routes"; return 2; }
  local host
  host="$(path route semantic-router '{.status.ingress[0].host}')" || { echo "there is none"; return 2; }
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
check "models: containers" same "model-a model-b" \
  "$(path deployment vllm-model-a '{.spec.template.spec.containers[*].name}') $(path deployment vllm-model-b '{.spec.template.spec.containers[*].name}')"
check "claims are bound" claims
check "Services have addresses" eval 'addressed vllm-model-a && addressed vllm-model-b && addressed semantic-router'
check "configuration has no placeholder" configured
check "models answer the router by their names" asked wayside doctor --config /app/config
check "Route is admitted" route
check "GPUs" gpus
printf '%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
