#!/bin/sh
# build.sh SOURCE TARGET: install clusterdns from SOURCE, a checkout or a wheel, into a virtual environment at TARGET.
# No pip gets into it.
set -eu
source=$1 target=$2

# --copies: the interpreter is a file of its own, which finish.sh gives a capability
python3 -m venv --without-pip --copies "$target"
# --no-compile: most of it is deleted again
python3 -m pip --python "$target/bin/python" install --quiet --no-compile "$source"
