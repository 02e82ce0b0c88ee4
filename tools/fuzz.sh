#!/bin/sh
# Runs every fuzz target of the module for the given time each, one after the other; stops at the first failure.
set -eu
cd "$(dirname "$0")/.."
time=${1:?usage: tools/fuzz.sh TIME, as in 30s}
for package in $(tools/packages-with.sh Fuzz); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$package"/*_test.go | sort -u); do
		echo "fuzz $package $target for $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
	done
done
