#!/bin/sh
# Runs a command whose output quotes manifests: `quoted.sh COMMAND…`
#
# GitHub's runner takes lines such as `::error::…` or `##[…]` for commands wherever they are printed. With
# the two lines around it, it does not. The token is drawn anew, so that no manifest can know it.
set -u

if [ "${GITHUB_ACTIONS:-false}" != true ]; then
    exec "$@"
fi
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
[ ${#token} -eq 32 ] || exit 1
printf '::stop-commands::%s\n' "$token"
code=0
"$@" 2>&1 || code=$?
printf '\n::%s::\n' "$token"
exit "$code"
