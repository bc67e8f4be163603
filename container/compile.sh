#!/bin/sh
# compile.sh PYTHON DIRECTORY: compile all modules below DIRECTORY, where nothing will ever be written again.
# unchecked-hash: no look at the source at each import, and no time in the files, so that a build can be repeated.
set -eu

# Not all cores: a build is not alone on its machine
"$1" -m compileall -q -j 2 --invalidation-mode unchecked-hash "$2"
