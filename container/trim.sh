#!/bin/sh
# trim.sh TARGET: delete what clusterdns never imports from the environment at TARGET, then compile the rest.
set -eu
target=$1
site=$(echo "$target"/lib/python3.*/site-packages)

# The client does configuration, authentication and TLS. Its asynchronous twin, its API classes and its models, which
# nothing imports, are nine tenths of it.
client=$site/kubernetes/client
rm -r "$site/kubernetes/aio" "$client/api" "$client/apis"
find "$client/models" -type f ! -name __init__.py -delete

# Sources of what is compiled, stubs of types, tests
find "$site" -type f \( -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' \) -delete
find "$site" -type d \( -name tests -o -name test \) -prune -exec rm -r {} +

# What activates it, other names of the interpreter, commands of the dependencies
find "$target/bin" ! -type d ! -name python ! -name clusterdns -delete

"$(dirname "$0")/compile.sh" "$target/bin/python" "$site"
