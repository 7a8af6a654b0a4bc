#!/usr/bin/env bash
# Deploy the router and two models; `--help` says how. All the work is `wayside deploy apply`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'HELP'
Deploy the semantic router, Envoy and two models into one namespace.

  deploy-to-openshift.sh [options]

  --simulator            models are simulated: no GPU, no weights, no image to build
  --kserve               models are LLMInferenceServices of KServe (target kserve)
  --cluster-ip           the router finds models by the clusterIPs of their Services
  --dns                  ... by their DNS names, which hold on every cluster (the default)
  --storage-class NAME   of all claims; the cluster's default otherwise
  --no-observability     no ServiceMonitor for Prometheus
  --no-public-route      nobody outside of the cluster may connect
  -n, --namespace NS     [default: vllm-semantic-router-system]
  --plan                 only show what would change; exit status 2 if anything would
  --no-wait              do not wait until pods are ready
  --adopt                take over objects of the same names that are there already
  --force-conflicts      take over fields that somebody edited by hand
  -h, --help

Run it again after any change, an error or on another cluster: it goes on where it stopped, and
writes only what is different. cleanup-openshift.sh takes it away, validate-deployment.sh looks
whether it is well.

  oc login https://api.cluster.example.com:6443 && ./deploy-to-openshift.sh --simulator
HELP
}

namespace=vllm-semantic-router-system
simulator='' kserve='' discovery=dns storage_class='' observability=yes public=yes plan='' wait=() over=()
while [ $# -gt 0 ]; do
  case "$1" in
    --simulator) simulator=yes ;;
    --kserve) kserve=yes ;;
    --cluster-ip) discovery=cluster-ip ;;
    --dns) discovery=dns ;;
    --storage-class) value_of "$1" $#; storage_class="$2"; shift ;;
    --no-observability) observability='' ;;
    --no-public-route) public='' ;;
    --classifier-gpu)
      refuse "$1" "the built-in classifiers take a millisecond on a CPU and use no GPU; for a classifier on one, serve it and name it under router.settings.engines" ;;
    -n | --namespace) value_of "$1" $#; namespace="$2"; shift ;;
    --plan) plan=yes ;;
    --no-wait) wait=(--no-wait) ;;
    --adopt | --force-conflicts) over+=("$1") ;;
    -h | --help) usage; exit 0 ;;
    *) unknown "$1" ;;
  esac
  shift
done

need_wayside
need_client
need_login

options=(--namespace "$namespace")
if [ -n "$storage_class" ]; then options+=(--set "router.storage_class=$storage_class"); fi
if [ -n "$kserve" ]; then
  target=kserve
  file="$(mktemp)"
  trap 'rm -f "$file"' EXIT
  "$wayside" deploy init --target kserve >"$file"
  if [ -z "$simulator" ]; then
    for model in Model-A Model-B; do
      options+=(--set "models.$model.run=vllm" --set "models.$model.source=Qwen/Qwen3-0.6B")
    done
  fi
  if [ -n "$public" ]; then
    options+=(--set exposure.kind=route)
  else
    # Clients come through the gateway of Models-as-a-Service, and show its tokens: every tier may
    # use these models, until their `tiers` say otherwise.
    options+=(--set 'targets.kserve.maas={}')
    for model in Model-A Model-B; do options+=(--set "models.$model.tiers=[]"); done
  fi
else
  target=openshift-split
  file="$split/wayside.yaml"
  if [ -n "$simulator" ]; then file="$split/wayside-simulator.yaml"; fi
  options+=(--set "targets.openshift-split.discovery=$discovery")
  if [ -z "$public" ]; then options+=(--set exposure.kind=none); fi
fi
if [ -n "$public" ] && ! serves route.openshift.io routes; then
  say "this cluster has no Routes (it is no OpenShift): nothing is exposed"
  options+=(--set exposure.kind=none)
fi
if [ -n "$observability" ]; then
  if serves monitoring.coreos.com servicemonitors; then
    options+=(--set monitoring=true)
  else
    say "this cluster has no ServiceMonitors: nobody is told to scrape the router"
  fi
fi

deploy() { "$wayside" deploy "$@" --target "$target" -f "$file" "${options[@]}"; }

if [ -n "$plan" ]; then
  status=0
  deploy plan "${over[@]}" || status=$?
  exit "$status"
fi
deploy apply --yes "${wait[@]}" "${over[@]}"
if [ -n "$kserve" ] && [ -z "$public" ]; then
  say "next: cd maas-integration && ./apply-maas-integration.sh -n $namespace"
fi
if [ "$client" = oc ]; then
  oc project "$namespace"
else
  say "for the commands of the guide: kubectl config set-context --current --namespace=$namespace"
fi
