#!/bin/sh
# A SLURM of this machine alone, for benchmarks/killed_workers.py (Debian: apt install slurmctld slurmd munge; as root):
#
#     benchmarks/one_node_slurm.sh start /tmp/slurm && export SLURM_CONF=/tmp/slurm/slurm.conf
#     benchmarks/one_node_slurm.sh stop /tmp/slurm
#
# All its files are in the folder. A job that is requeued waits for cred_expire seconds (120 unless set) and begins again.
set -eu
folder=$2
case $1 in
start)
    mkdir -p "$folder/state" "$folder/spool"
    chmod 755 "$folder"
    dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 2>/dev/null
    chmod 400 "$folder/munge.key"
    cat >"$folder/slurm.conf" <<END
ClusterName=one
SlurmctldHost=$(hostname -s)
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,batch_sched_delay=1
ReturnToService=2
KillWait=10
MpiDefault=none
NodeName=$(hostname -s) CPUs=8 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
    export SLURM_CONF="$folder/slurm.conf"
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
    slurmctld
    slurmd
    ;;
stop)
    for name in slurmd slurmctld munged; do
        kill "$(cat "$folder/$name.pid")" || true
    done
    ;;
esac
