#!/usr/bin/env bash
# The gateway beside its peers, all in one run: sets the peers up, measures, writes the table into bench/RESULTS.md.
#
#   bench/gateway/run.sh [arguments of the shared bench.py, such as --runs 3 --duration 4 --only nginx,freehold]
#
# GATEWAY_BENCH: the shared bench (default ../shared/tools/gateway-bench beside this project).  PYTHON: which python has
# freehold installed (default: .venv here).  RESULTS: where the table goes.  SETUP=no: the peers are there already.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PROJECT; PROJECT=$(cd "$here/../.." && pwd)
export PYTHON=${PYTHON:-$PROJECT/.venv/bin/python}
export GATEWAY_BENCH_HOME=${GATEWAY_BENCH_HOME:-$HOME/.cache/gateway-bench}
bench=${GATEWAY_BENCH:-$PROJECT/../shared/tools/gateway-bench}
scratch=/tmp/freehold-bench
peers=direct,nginx,tensorzero,litellm ours=freehold,freehold-keys,freehold-cache
around=nginx-tls,freehold-tls,freehold-proxy

[ -f "$bench/bench.py" ] || { echo "There is no gateway bench at $bench: set GATEWAY_BENCH." >&2; exit 2; }
"$PYTHON" -c 'import freehold' || { echo "$PYTHON has no freehold: set PYTHON." >&2; exit 2; }
"$PYTHON" -m compileall -q "$PROJECT/src"  # as an installed package is
[ "${SETUP:-yes}" = no ] || "$bench/setup.sh"

# The front of the mock upstream, with TLS and as a proxy, on the load's core: what it costs is not the gateway's.
mkdir -p "$scratch"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=freehold-bench -addext subjectAltName=IP:127.0.0.1,DNS:localhost \
  -keyout "$scratch/front.key" -out "$scratch/front.pem" 2>/dev/null
taskset -c 0 nginx -p "$scratch" -c "$here/front.conf" -g 'daemon off;' &
front=$!
trap 'kill "$front" 2>/dev/null || true; wait "$front" || true' EXIT

results=$scratch/results.jsonl
rm -f "$results"
"$GATEWAY_BENCH_HOME/venv/bench/bin/python" "$bench/bench.py" --config "$bench/gateways.toml,$here/ours.toml" \
  --only "$peers,$ours,$around" --out "$results" "$@"
"$GATEWAY_BENCH_HOME/venv/bench/bin/python" "$here/table.py" "$results" "${RESULTS:-$PROJECT/bench/RESULTS.md}"
