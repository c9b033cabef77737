#!/bin/sh
# Applies what was reviewed.
#
#     apply.sh saved PLAN MESSAGE      exactly the saved plan
#     apply.sh constrain PLAN MESSAGE  what the manifests say now, and nothing that PLAN does not hold
#
# Ends as `nuncio apply` does: 4 where it is not what was reviewed any more. NUNCIO_APPLY_COMMIT is told
# in the history after the message.
set -u

usage='usage: apply.sh saved|constrain PLAN MESSAGE'
bound=${1:?$usage}
plan=${2:?$usage}
message=${3:?$usage}
nuncio=${NUNCIO_PROGRAM:-nuncio}
here=$(dirname "$0")

if [ -n "${NUNCIO_APPLY_COMMIT:-}" ]; then
    message="$message ($NUNCIO_APPLY_COMMIT)"
fi
if [ ! -f "$plan" ]; then
    printf 'error: no reviewed plan at %s: nothing is applied without one\n' "$plan" >&2
    exit 1
fi

case $bound in
    saved)
        sh "$here/quoted.sh" "$nuncio" apply --message="$message" -- "$plan"
        ;;
    constrain)
        sh "$here/quoted.sh" "$nuncio" apply --constrain="$plan" --auto-approve --message="$message"
        ;;
    *)
        printf '%s\n' "$usage" >&2
        exit 64
        ;;
esac
