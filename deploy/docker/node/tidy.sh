#!/bin/sh
# Takes away from Debian what no node reads: caches and logs of apt and dpkg, manuals, translations.
set -eu
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/cache/debconf/* /var/log/* /var/lib/dpkg/*-old
find /usr/share/doc -type f ! -name copyright -delete
rm -rf /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bash-completion
mkdir -p /usr/share/man /var/cache/apt/archives/partial /var/lib/apt/lists/partial
