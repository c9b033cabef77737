#!/bin/sh
# Writes the note of a merge request, or updates the one that is there: `note.sh FILE`
#
# Needs `curl`, `jq`, and in NUNCIO_GITLAB_TOKEN a token of the project with the scope `api`.
set -eu

file=${1:?usage: note.sh FILE}
here=$(dirname "$0")
notes="merge_requests/${CI_MERGE_REQUEST_IID:?is not set}/notes"

# Notes of others that begin with our line cannot be updated with this token, and are not ours.
me=$(printf 'PRIVATE-TOKEN: %s\n' "${NUNCIO_GITLAB_TOKEN:?is not set}" |
    curl --silent --show-error --fail-with-body --max-time 60 --header @- \
        "${CI_API_V4_URL:?is not set}/user" | jq '.id')

id=
page=1
# A merge request with more than 5,000 notes gets another one.
while [ -z "$id" ] && [ "$page" -le 50 ]; do
    list=$(sh "$here/api.sh" "$notes?sort=asc&order_by=created_at&per_page=100&page=$page")
    id=$(printf '%s' "$list" | jq --argjson me "$me" \
        'first(.[] | select(.author.id == $me) | select(.body | startswith("<!-- nuncio:plan -->")) | .id)')
    [ "$(printf '%s' "$list" | jq 'length')" -eq 100 ] || break
    page=$((page + 1))
done

# Only the file's name is an argument: its content reaches nothing that would read it as a command.
if [ -n "$id" ]; then
    sh "$here/api.sh" "$notes/$id" --request PUT --data-urlencode "body@$file" >/dev/null
else
    sh "$here/api.sh" "$notes" --request POST --data-urlencode "body@$file" >/dev/null
fi
