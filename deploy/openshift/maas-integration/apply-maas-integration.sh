#!/usr/bin/env bash
# Lets the gateway of Models-as-a-Service lead /v1/chat/* to the semantic router.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'END'
Usage: ./apply-maas-integration.sh [-n NAMESPACE] [--domain DOMAIN] [--all-paths] [--dry-run]
       ./apply-maas-integration.sh --uninstall [-n NAMESPACE]

Applies, beside the router that deploy-to-openshift.sh --kserve has deployed:
  ReferenceGrant  allow-maas-gateway-to-vsr   the gateway's namespace may name the router's Service
  AuthPolicy      vsr-interim-auth-policy     tokens of MaaS, and of nobody else
  limits          vsr-token-rate-limits, vsr-rate-limits   the tiers', as on the gateway's own paths
  HTTPRoute       vsr-interim-route           /v1/chat leads to the router

Run it again as often as you like; nothing is written where nothing changed.

  -n, --namespace NAMESPACE  of the router  [default: vllm-semantic-router-system]
      --domain DOMAIN        of the cluster  [default: ingresses.config.openshift.io says it]
      --all-paths            lead /v1/completions, /v1/embeddings, /v1/responses and /v1/messages
                             to the router, too
      --dry-run              show what would change, and write nothing
      --uninstall            delete exactly what was applied
  -h, --help                 this text

Needs OpenShift 4.18, Kuadrant, the Gateway openshift-ingress/maas-default-gateway and the Service
semantic-router-kserve, and says which of them is missing. Tiers, another tenant or another gateway:
write them in wayside.yaml beside this script.
END
}

find_wayside() {
  local root
  root=$(cd "$here/../../.." && pwd)
  if [[ -x $root/.venv/bin/wayside ]]; then
    echo "$root/.venv/bin/wayside"
  elif ! command -v wayside; then
    echo "wayside is not installed: pip install wayside, or uv sync in $root" >&2
    return 1
  fi
}

value() {
  if [[ $# -lt 2 || -z $2 ]]; then
    echo "$1 needs a value; see --help" >&2
    exit 1
  fi
  echo "$2"
}

verb=apply
more=()
while [[ $# -gt 0 ]]; do
  case $1 in
    -n | --namespace)
      given=$(value "$@")
      more+=(--namespace "$given")
      shift 2
      ;;
    --domain)
      given=$(value "$@")
      more+=(--set "domain=$given")
      shift 2
      ;;
    --all-paths)
      more+=(--set targets.maas-dual-gateway.paths=all)
      shift
      ;;
    --dry-run)
      verb=plan
      shift
      ;;
    --uninstall)
      verb=destroy
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      echo "no such option: $1; see --help" >&2
      exit 1
      ;;
  esac
done

[[ $verb == plan ]] || more+=(--yes)
wayside=$(find_wayside)
exec "$wayside" deploy "$verb" --file "$here/wayside.yaml" "${more[@]}"
