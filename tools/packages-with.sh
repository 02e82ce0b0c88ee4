#!/bin/sh
# Prints the packages, as ./folder, whose tests define a function with the given prefix: Fuzz or Benchmark.
set -eu
cd "$(dirname "$0")/.."
grep -rl --include='*_test.go' "^func $1[A-Z]" ring transport worker appliance tools | xargs -r -n 1 dirname | sort -u | sed 's|^|./|'
