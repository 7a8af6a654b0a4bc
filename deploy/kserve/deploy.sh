#!/usr/bin/env bash
# Deploys the semantic router beside models that KServe serves.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'END'
Usage: ./deploy.sh -n NAMESPACE -i INFERENCESERVICE -m MODEL [options]
       ./deploy.sh -n NAMESPACE --simulator [options]

  -n, --namespace NAMESPACE         where everything is, and is put (required)
  -i, --inferenceservice NAME       the LLMInferenceService that is there (required, or --simulator)
  -m, --model NAME                  what clients call its model (required, or --simulator)
      --simulator                   deploy two simulated models; needs no GPU
      --sim-inferenceservice-a NAME [default: model-a]
      --sim-inferenceservice-b NAME [default: model-b]
      --sim-model-a NAME            [default: Model-A]
      --sim-model-b NAME            [default: Model-B]
      --no-public-route             no Route: clients come through the gateway of
                                    Models-as-a-Service, and show its tokens to the router
  -s, --storage-class NAME          of the claim for models (which there is with this, or the next)
      --models-pvc-size SIZE        [default: 10Gi]
      --dry-run                     print the manifests; asks no cluster and changes nothing
  -h, --help                        this text

Not to be had, each with the reason: --classifier-gpu, --embedding-model, --cache-pvc-size,
--skip-validation, --maas-gateway-endpoint.

Everything else: `wayside deploy init --target kserve` prints a file to write it in.
END
}

find_wayside() {
  local root
  root=$(cd "$here/../.." && pwd)
  if [[ -x $root/.venv/bin/wayside ]]; then
    echo "$root/.venv/bin/wayside"
  elif ! command -v wayside; then
    echo "wayside is not installed: pip install wayside, or uv sync in $root" >&2
    return 1
  fi
}

refuse() {
  echo "$1: ${*:2}" >&2
  exit 1
}

value() {
  if [[ $# -lt 2 || -z $2 ]]; then
    refuse "$1" "needs a value; see --help"
  fi
  # It becomes a value in YAML: no more than names and amounts have.
  if [[ ! $2 =~ ^[A-Za-z0-9][A-Za-z0-9._/-]*$ ]]; then
    refuse "$1" "'$2' is no name; letters, digits and . _ / - may be in one"
  fi
  echo "$2"
}

namespace='' service='' model='' simulator='' class='' size='' public=yes verb=apply
sim_service_a=model-a sim_service_b=model-b sim_model_a=Model-A sim_model_b=Model-B
while [[ $# -gt 0 ]]; do
  case $1 in
    -n | --namespace) namespace=$(value "$@"); shift 2 ;;
    -i | --inferenceservice) service=$(value "$@"); shift 2 ;;
    -m | --model) model=$(value "$@"); shift 2 ;;
    --simulator) simulator=yes && shift ;;
    --sim-inferenceservice-a) sim_service_a=$(value "$@"); shift 2 ;;
    --sim-inferenceservice-b) sim_service_b=$(value "$@"); shift 2 ;;
    --sim-model-a) sim_model_a=$(value "$@"); shift 2 ;;
    --sim-model-b) sim_model_b=$(value "$@"); shift 2 ;;
    --no-public-route) public='' && shift ;;
    -s | --storage-class) class=$(value "$@"); shift 2 ;;
    --models-pvc-size) size=$(value "$@"); shift 2 ;;
    --dry-run) verb=render && shift ;;
    --classifier-gpu)
      refuse "$1" "the router's classifiers run on the CPU; leave it out" ;;
    --embedding-model)
      refuse "$1" "nothing here embeds; name a model in router.settings.engines of a file for" \
        "wayside deploy --target kserve" ;;
    --cache-pvc-size)
      refuse "$1" "answers are cached in memory or in a store, never on a claim; leave it out" ;;
    --skip-validation)
      refuse "$1" "what is applied is always checked, which takes a moment; leave it out" ;;
    --maas-gateway-endpoint)
      refuse "$1" "the router sends to models directly, and asks the cluster for the caller's" \
        "rights; use --no-public-route" ;;
    -h | --help) usage && exit 0 ;;
    *) refuse "$1" "no such option; see --help" ;;
  esac
done

[[ -n $namespace ]] || refuse --namespace "is required; see --help"
if [[ -n $simulator ]]; then
  [[ -z $service$model ]] || refuse --simulator "deploys models of its own; leave out -i and -m"
else
  [[ -n $service ]] || refuse --inferenceservice "is required, or --simulator; see --help"
  [[ -n $model ]] || refuse --model "is required, or --simulator; see --help"
fi

intent() {
  # Every tier of Models-as-a-Service may use these models, until their `tiers` say otherwise.
  local tiers='' rest=()
  [[ -n $public ]] || tiers=', tiers: []'
  cat <<END
name: semantic-router
namespace: $namespace
target: kserve
END
  if [[ -n $simulator ]]; then
    cat <<END
models:
  "$sim_model_a": {run: simulator, kserve: "$sim_service_a"$tiers}
  "$sim_model_b": {run: simulator, kserve: "$sim_service_b"$tiers}
default_model: "$sim_model_a"
END
  else
    cat <<END
models:
  "$model": {kserve: "$service"$tiers}
default_model: "$model"
END
  fi
  if [[ -n $public ]]; then
    echo 'exposure: {kind: route}'
  else
    echo 'targets: {kserve: {maas: {}}}'
  fi
  [[ -z $class$size ]] || rest+=("storage: \"${size:-10Gi}\"")
  [[ -z $class ]] || rest+=("storage_class: \"$class\"")
  if [[ -n $simulator ]]; then
    # What is answered in words goes to the second model, everything else to the first.
    rest+=("settings: {routing: {signals: {domain: {words: {labels: [business, law, psychology, health, philosophy], threshold: 0.3}}}, decisions: [{name: words, when: 'domain:words', models: [\"$sim_model_b\"]}]}}")
  fi
  [[ ${#rest[@]} -eq 0 ]] || { echo router: && printf '  %s\n' "${rest[@]}"; }
}

wayside=$(find_wayside)
if [[ $verb == render ]]; then
  intent | "$wayside" deploy render --file -
  exit
fi
intent | "$wayside" deploy apply --file - --yes
if [[ -z $public ]]; then
  cat <<END

The router is reached through the gateway of Models-as-a-Service. Next:
  cd $(cd "$here/../openshift/maas-integration" && pwd)
  ./apply-maas-integration.sh -n $namespace
END
fi
