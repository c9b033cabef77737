#!/bin/sh
# Reviews a change: plans it, and leaves in a folder what the rest of a pipeline needs.
#
#     review.sh FOLDER
#
#     comment.md    for the pull request; its first line never changes
#     plan.json     the saved plan, for apply.sh
#     nuncio.sarif  with NUNCIO_REVIEW_SARIF=true
#     exit-code     of `nuncio plan`: 0 nothing to do, 2 changes, 3 rejected by rule, 1 invalid
#
# Ends with 0 where the change may be merged, and with the exit code of `nuncio plan` otherwise.
# The database is NUNCIO_DATABASE_URL, as everywhere.
set -u

folder=${1:?usage: review.sh FOLDER}
nuncio=${NUNCIO_PROGRAM:-nuncio}
here=$(dirname "$0")

mkdir -p "$folder" || exit 1
rm -f "$folder/comment.md" "$folder/plan.json" "$folder/nuncio.sarif" "$folder/exit-code"

code=0
"$nuncio" plan --detailed-exitcode --output markdown --out "$folder/plan.json" \
    >"$folder/comment.md" 2>"$folder/messages.txt" || code=$?
echo "$code" >"$folder/exit-code"

# The database is away, say: there is no plan to comment, and an old comment would be read as one.
if [ ! -s "$folder/comment.md" ]; then
    printf '<!-- nuncio:plan -->\n## nuncio plan: failed\n\nExit code %s; the log says why.\n' \
        "$code" >"$folder/comment.md"
fi

# What a rule forbids is known to the plan alone, and without a database there is none.
told_by() {
    "$nuncio" "$1" --output "$2" 2>/dev/null || :
}

if [ "${NUNCIO_REVIEW_SARIF:-false}" = true ]; then
    told_by plan sarif >"$folder/nuncio.sarif"
    [ -s "$folder/nuncio.sarif" ] || told_by validate sarif >"$folder/nuncio.sarif"
fi

if [ "${GITHUB_ACTIONS:-false}" = true ]; then
    # Annotations escape what they quote; whatever else is printed is no command.
    case $code in
        3) told_by plan github ;;
        *) told_by validate github ;;
    esac
fi
sh "$here/quoted.sh" cat "$folder/messages.txt"

if [ -n "${GITHUB_OUTPUT:-}" ]; then
    echo "exit-code=$code" >>"$GITHUB_OUTPUT"
fi
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    cat "$folder/comment.md" >>"$GITHUB_STEP_SUMMARY"
fi

case $code in
    0 | 2) exit 0 ;;
    *) exit "$code" ;;
esac
