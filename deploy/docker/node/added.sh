#!/bin/sh
# Runs a command that installs into /opt/swarm, and puts the files that it added into /added: a layer of these alone.
set -eu
cd /opt/swarm
find . ! -type d | sort > /before
"$@"
strip.sh /opt/swarm
find . ! -type d | sort > /after
mkdir /added
comm -13 /before /after | tar --create --files-from=- | tar --extract --directory=/added
