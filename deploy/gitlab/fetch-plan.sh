#!/bin/sh
# Fetches the plan that was reviewed with the merge request of a commit: `fetch-plan.sh FOLDER`
#
# It is an artifact of the last pipeline of the merge request that succeeded. Needs `curl`, `jq`, and in
# NUNCIO_GITLAB_TOKEN a token of the project with the scope `api`.
set -eu

folder=${1:?usage: fetch-plan.sh FOLDER}
here=$(dirname "$0")

fail() {
    printf 'error: %s, so nothing may be applied\n' "$1" >&2
    exit 1
}

requests=$(sh "$here/api.sh" "repository/commits/${CI_COMMIT_SHA:?is not set}/merge_requests")
request=$(printf '%s' "$requests" | jq 'first(.[] | select(.state == "merged") | .iid)')
[ -n "$request" ] || fail "the commit came with no merge request"

pipelines=$(sh "$here/api.sh" "merge_requests/$request/pipelines?per_page=100")
pipeline=$(printf '%s' "$pipelines" | jq 'first(.[] | select(.status == "success") | .id)')
[ -n "$pipeline" ] || fail "no review of merge request $request succeeded"

jobs=$(sh "$here/api.sh" "pipelines/$pipeline/jobs?per_page=100")
job=$(printf '%s' "$jobs" | jq 'first(.[] | select(.name == "nuncio-plan") | .id)')
[ -n "$job" ] || fail "pipeline $pipeline has no job nuncio-plan"

mkdir -p "$folder"
rm -f "$folder/plan.json"
sh "$here/api.sh" "jobs/$job/artifacts/$folder/plan.json" --output "$folder/plan.json"
