#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# install-completion.sh FILE PATH: installs a generated file under another name (meson cannot rename what it generates).
set -eu
mkdir -p "$(dirname "$MESON_INSTALL_DESTDIR_PREFIX/$2")"
install -m 644 "$1" "$MESON_INSTALL_DESTDIR_PREFIX/$2"
