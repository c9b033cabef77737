#!/bin/sh
# Fetches the plan that was reviewed with a pull request: `fetch-plan.sh FOLDER`
#
# It is an artifact of the last review of the pull request's head, NUNCIO_HEAD_SHA, by the workflow
# NUNCIO_REVIEW_WORKFLOW. GITHUB_REPOSITORY says where; `gh` takes its token from GH_TOKEN.
set -eu

folder=${1:?usage: fetch-plan.sh FOLDER}
repository=${GITHUB_REPOSITORY:?is not set}
head=${NUNCIO_HEAD_SHA:?is not set}
workflow=${NUNCIO_REVIEW_WORKFLOW:?is not set}
artifact=${NUNCIO_ARTIFACT:-nuncio-plan}

run=$(gh run list --repo "$repository" --workflow "$workflow" --commit "$head" \
    --event pull_request --status success --limit 1 --json databaseId --jq '.[].databaseId')
if [ -z "$run" ]; then
    printf 'error: no review of %s succeeded, so nothing may be applied\n' "$head" >&2
    exit 1
fi
mkdir -p "$folder"
rm -f "$folder/plan.json"
gh run download "$run" --repo "$repository" --name "$artifact" --dir "$folder"
