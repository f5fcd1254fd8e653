#!/bin/sh
# Takes out of a folder of Python packages what only their developers use: symbols for debuggers, and tests.
# numpy.libs stays as it is: its libraries were laid out by hand and break when they are stripped.
set -eu
find "$1" -type d -name tests -path '*/site-packages/*' -prune -exec rm -rf {} +
find "$1" -name '*.so' ! -path '*numpy.libs*' -exec strip --strip-unneeded {} +
