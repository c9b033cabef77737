#!/bin/sh
# Checks the manifests, and leaves GitLab's reports in a folder: `validate.sh FOLDER`
#
#     gl-code-quality.json  the findings, in the merge request's changes
#     junit.xml             a test case a file
set -u

folder=${1:?usage: validate.sh FOLDER}
nuncio=${NUNCIO_PROGRAM:-nuncio}

mkdir -p "$folder" || exit 1
"$nuncio" validate --output junit --quiet >"$folder/junit.xml" 2>/dev/null || :
"$nuncio" validate --output gitlab --quiet >"$folder/gl-code-quality.json" 2>/dev/null || :
# Once more for people, in the log.
"$nuncio" validate
