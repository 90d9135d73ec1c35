#!/usr/bin/env bash
# slurm_up.sh DIR [NODES=2] [PORT=16810]: a Slurm cluster of NODES one-core nodes on this machine, on the loopback
# address, as root, without systemd and without accounting. Prints the path of its slurm.conf, for SLURM_CONF.
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd) nodes=${2:-2} port=${3:-16810} host=$(hostname -s)
mkdir -p "$dir"/{state,spool,log,run,etc}
chmod 755 "$dir" "$dir/run"
(umask 077; head -c 128 /dev/urandom > "$dir/etc/munge.key")
{
    cat << CONF
ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmctldAddr=127.0.0.1
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/run/munge.sock
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
SlurmdTimeout=60
KillWait=5
CONF
    for i in $(seq "$nodes"); do
        echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=1 RealMemory=4000"
    done
    echo "PartitionName=main Nodes=$(seq -s, -f 'n%g' "$nodes") Default=YES MaxTime=INFINITE State=UP"
} > "$dir/etc/slurm.conf"
export SLURM_CONF=$dir/etc/slurm.conf
munged --force --socket="$dir/run/munge.sock" --key-file="$dir/etc/munge.key" --pid-file="$dir/run/munged.pid" \
    --log-file="$dir/log/munged.log" --seed-file="$dir/run/munge.seed"
slurmctld
for i in $(seq "$nodes"); do slurmd -N "n$i"; done
for _ in $(seq 150); do
    [ "$(sinfo --noheader --Node --states=idle 2> /dev/null | wc -l)" = "$nodes" ] && break
    sleep 0.2
done
echo "$SLURM_CONF"
