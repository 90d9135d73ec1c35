#!/usr/bin/env bash
# slurm_down.sh DIR: ends the cluster that slurm_up.sh has started there.
export SLURM_CONF=$1/etc/slurm.conf
scancel --user="$(id -un)" 2> /dev/null
for file in "$1"/run/slurmd-*.pid "$1"/run/slurmctld.pid "$1"/run/munged.pid; do
    [ -f "$file" ] && kill "$(cat "$file")" 2> /dev/null
done
exit 0
