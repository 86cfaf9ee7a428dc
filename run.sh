#!/usr/bin/env bash
# The one entry to synthloom: finds Python 3.11 and uv, builds the orchestrator's environment, hands over to cli/.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# System certificates: package mirrors and proxies of an institution are often signed by its own authority.
export SYNTHLOOM_CWD="${SYNTHLOOM_CWD:-$PWD}" PYTHONNOUSERSITE=1 UV_PYTHON_DOWNLOADS=never UV_NO_CONFIG=1 UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
cd "$here"

if [ "${1:-}" = __complete ]; then # a person waits at the Tab key: no checks, and nothing where nothing is built
  export PYTHONPATH="$here"
  exec "$here/envs/orchestrator/.venv/bin/python" -m cli "$@" 2>/dev/null || exit 0
fi

python=""
for candidate in python3.11 python3 python; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    python="$candidate"
    break
  fi
done
if [ -z "$python" ]; then
  echo "run.sh: needs Python 3.11 (the locks in envs/ are compiled for it); found: $(python3 --version 2>&1 || echo none). Install it and run again." >&2
  exit 2
fi

if command -v uv >/dev/null; then
  SYNTHLOOM_UV="$(command -v uv)"
else
  SYNTHLOOM_UV="$here/.uv/bin/uv"
  if [ ! -x "$SYNTHLOOM_UV" ]; then
    echo "installing uv into .uv/" >&2
    "$python" -m pip install --quiet --disable-pip-version-check --target "$here/.uv" 'uv>=0.9,<1' >&2
  fi
fi
export SYNTHLOOM_UV PYTHONPATH="$here"

"$python" -m core.environments orchestrator
exec "$here/envs/orchestrator/.venv/bin/python" -m cli "$@"
