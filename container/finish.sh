#!/bin/sh
# finish.sh PREFIX: make of the Python at PREFIX, with clusterdns in PREFIX/lib/clusterdns, what the image holds.
set -eu
prefix=$1
here=$(dirname "$0")
app=$prefix/lib/clusterdns
library=$(echo "$prefix"/lib/python3.*)

# Installers, editors, tests
rm -rf "$library"/site-packages/* "$prefix"/bin/pip* "$prefix"/bin/idle* "$prefix"/bin/pydoc* "$prefix"/bin/2to3*
for module in ensurepip idlelib lib2to3 pydoc_data test tkinter turtledemo; do
    rm -rf "${library:?}/$module"
done

# The base image comes without .pyc files, and on a read-only root every start would compile anew.
"$here/compile.sh" "$app/bin/python" "$library"

install -m 0755 "$here/entrypoint.py" "$app/bin/clusterdns"
ln -s ../lib/clusterdns/bin/clusterdns "$prefix/bin/clusterdns"
# Last: copying a file takes its capabilities away
"$app/bin/python" "$here/grant.py" "$app/bin/python"
