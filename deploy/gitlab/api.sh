#!/bin/sh
# One call of GitLab's API: `api.sh PATH [CURL OPTION…]`, PATH below the project.
#
# The token goes over standard input, so that no list of processes shows it.
set -eu

path=${1:?usage: api.sh PATH [CURL OPTION…]}
shift
printf 'PRIVATE-TOKEN: %s\n' "${NUNCIO_GITLAB_TOKEN:?is not set}" |
    curl --silent --show-error --fail-with-body --location --max-time 60 --retry 2 --header @- "$@" \
        "${CI_API_V4_URL:?is not set}/projects/${CI_PROJECT_ID:?is not set}/$path"
