#!/usr/bin/env bash
# The split layout as its guide deploys it: the models' Services first, then a configuration with
# the clusterIPs that this cluster gave them, then the router. `--dns` writes names instead.
set -euo pipefail
exec "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/../deploy-to-openshift.sh" --cluster-ip "$@"
