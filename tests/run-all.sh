#!/bin/sh
# Runs the whole suite and, where tests fail, says once more at the end which they are and how each of
# them failed: of an output of thousands of lines the end is what people, and machines, look at.
set -u

cargo=${CARGO:-cargo}
output=$(mktemp)
status_file=$(mktemp)
trap 'rm -f "$output" "$status_file"' EXIT

# A pipe's status is that of its last command, in the shell of a bare system.
{
    $cargo test --workspace --no-fail-fast 2>&1
    echo $? >"$status_file"
} | tee "$output"
status=$(cat "$status_file")
[ "$status" = 0 ] && exit 0

echo
echo "=== what failed ==="
# Of each failed test what it printed from its panic on, without the stack and what programs have logged.
awk '
    function program(line) { sub(/^ +/, "", line); return line }
    /^ +Running |^ +Doc-tests / { running = program($0) }
    /^---- .* stdout ----$/ { print ""; print running; left = 40 }
    /^stack backtrace:$|^--- std(out|err) of / { left = 0 }
    /^failures:$/ { left = 0 }
    left > 0 && NF { print substr($0, 1, 300); left-- }
    /^test result: FAILED/ || /has been running for over|process didn.t exit successfully|^error/ {
        print substr($0, 1, 300)
    }
' "$output"
exit "$status"
