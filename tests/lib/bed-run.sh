#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# bed-run.sh NAME: runs the bed program build/tests/lib/zt-NAME; what it found for docs/coverage.md is left in build/coverage/NAME.
set -eu
build=$(cd "$(dirname "$0")/../../build" && pwd)
mkdir -p "$build/coverage"
rm -f "$build/coverage/$1"
export ZT_COVERAGE="$build/coverage/$1" ZT_TEST=1
unset ZT_IPTABLES_VARIANT
exec "$build/tests/lib/zt-$1"
