#!/bin/sh
# Prints the packages, as ./folder, whose tests define a function with the given prefix: Fuzz or Benchmark.
set -eu
cd "$(dirname "$0")/.."
git ls-files -co --exclude-standard '*_test.go' | xargs grep -l "^func $1[A-Z]" | xargs -n 1 dirname | sort -u | sed 's|^|./|'
