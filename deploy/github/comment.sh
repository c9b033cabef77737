#!/bin/sh
# Writes the comment of a pull request, or updates the one that is there: `comment.sh FILE`
#
# GITHUB_REPOSITORY and NUNCIO_PULL_REQUEST say where; `gh` takes its token from GH_TOKEN. A comment of
# somebody else that begins with our line is not ours: NUNCIO_COMMENT_AUTHOR is who writes with the token.
set -eu

file=${1:?usage: comment.sh FILE}
repository=${GITHUB_REPOSITORY:?is not set}
pull=${NUNCIO_PULL_REQUEST:?is not set}
export NUNCIO_COMMENT_AUTHOR="${NUNCIO_COMMENT_AUTHOR:-github-actions[bot]}"

ours='.[] | select(.user.login == env.NUNCIO_COMMENT_AUTHOR)
    | select(.body | startswith("<!-- nuncio:plan -->")) | .id'
found=$(gh api --paginate "repos/$repository/issues/$pull/comments?per_page=100" --jq "$ours")
# The oldest, should there be two.
id=$(printf '%s\n' "$found" | sed -n 1p)

# Only the file's name is an argument: its content reaches nothing that would read it as a command.
if [ -n "$id" ]; then
    gh api --silent --method PATCH "repos/$repository/issues/comments/$id" --field "body=@$file"
else
    gh api --silent --method POST "repos/$repository/issues/$pull/comments" --field "body=@$file"
fi
