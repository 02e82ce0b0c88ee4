#!/bin/bash
# Runs every fuzz target of the module for the given time or number of executions each, as many at a time as there are CPUs; fails if any does. What is
# found is where go test puts it: inputs that fail in the package's testdata/fuzz, others in Go's cache.
#
# CI gives a number: with a time, Go before 1.27 now and then reports that the time is over ("context deadline exceeded") as a failure
# (go.dev/issue/75804), the more often the busier the machine is.
set -euo pipefail
cd "$(dirname "$0")/.."
budget=${1:?usage: tools/fuzz.sh TIME or NUMBERx, as in 30s or 20000x}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
module=$(go list -m)
cache=$(go env GOCACHE)/fuzz
# Making what is found shorter would take a minute each time.
minimize=60s
[[ $budget != *x ]] || minimize=100x
export budget minimize

# One binary for all targets of a package, with the fuzzer's counters in it.
targets() {
	local package target
	for package in $(tools/packages-with.sh Fuzz); do
		package=${package#./}
		go test -c -fuzz . -o "$work/${package//\//-}" "./$package"
		for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$package"/*_test.go | sort -u); do
			echo "$package $target $work/${package//\//-} $cache/$module/$package"
		done
	done
}

# What a target says is printed when it has ended, so that those that run beside each other do not mix.
run() {
	local package=$1 target=$2 binary=$3 corpus=$4 status=0 text
	text=$(cd "$package" && "$binary" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$budget" -test.fuzzminimizetime "$minimize" \
		-test.fuzzcachedir "$corpus" -test.parallel 1 2>&1) || status=$?
	if [ $status -ne 0 ] || [[ $text != *PASS* || $text == *'no fuzz tests'* ]]; then
		printf 'fuzz %s %s for %s: failed\n%s\n' "$package" "$target" "$budget" "$text"
		return 255 # ends all
	fi
	printf 'fuzz %s %s: %s\n' "$package" "$target" "$(grep -o 'elapsed.*' <<<"$text" | tail -n 1)"
}
export -f run

targets | xargs -P "$(nproc)" -L 1 bash -c 'run "$@"' run
