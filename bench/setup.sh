#!/usr/bin/env bash
# Install the peers that compare.py measures: each in its own virtualenv under bench/.venvs
# (git-ignored), nginx from the system's packages. Envoy comes with this project's own venv.
set -u
cd "$(dirname "$0")"
PYTHON=${PYTHON:-$PWD/../.venv/bin/python}
mkdir -p .venvs

install() { # NAME REQUIREMENT...
    local name=$1
    shift
    [ -x ".venvs/$name/bin/python" ] || uv venv -q --python "$PYTHON" ".venvs/$name" || return 1
    uv pip install -q --python ".venvs/$name/bin/python" "$@" || echo "setup: $name failed; compare.py will report it as unavailable"
}

install vllm-router vllm-router==0.1.17
install sglang-router sglang-router==0.3.2
install litellm 'litellm[proxy]==1.106.2'

command -v nginx >/dev/null || { apt-get update -qq && apt-get install -y -qq nginx-light; } ||
    echo "setup: no nginx; compare.py will report it as unavailable"
command -v gcc >/dev/null || echo "setup: no gcc; the native tools cannot be built"
# The package starts a server of its own on port 80, which nobody here needs.
command -v systemctl >/dev/null && systemctl is-active -q nginx && systemctl stop nginx
exit 0
