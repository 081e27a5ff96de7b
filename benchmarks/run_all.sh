#!/usr/bin/env bash
# The cross-language benchmark and its report, in the environment of the caller's python (nox -s bench makes one).
#
#   benchmarks/run_all.sh [--python-only | --rust-only | --go-only] [--quick] [options of `python -m benchmarks.lab run`]
set -euo pipefail
cd "$(dirname "$0")/.."

options=()
for argument in "$@"; do
  case "$argument" in
    --python-only) options+=(--languages python) ;;
    --rust-only) options+=(--languages rust) ;;
    --go-only) options+=(--languages go) ;;
    *) options+=("$argument") ;;
  esac
done

python=${PYTHON:-python3}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
"$python" -m benchmarks.lab run "${options[@]}" | tee "$log" || status=$?
result=$(tail -n 1 "$log")
[[ -f $result ]] && "$python" -m benchmarks.report make "$result"
exit "$status"
