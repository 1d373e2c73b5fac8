#!/usr/bin/env bash
# Makes a node claim GPUs that it does not have:  k8s/fake-gpus.sh skutune-worker [8]
#
# It writes nvidia.com/gpu into the node's status. The scheduler, quotas and skutune's device budget then count as on a real
# node, which is what a trial of `gpu.devices: 8` is about. Nothing else is there: no driver, no device in any container, so
# only the CPU flavour of the images runs on it, with `gpu.check: false`. Never do it to a node of a cluster that people use: pods that need a GPU
# would land there. The claim goes with the node, or with `k8s/fake-gpus.sh NODE 0`.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ] || ! [[ "${2:-8}" =~ ^[0-9]+$ ]]; then
  echo "usage: $0 NODE [DEVICES]" >&2
  exit 10
fi
node=$1
devices=${2:-8}

# Both are needed: the kubelet works out allocatable from capacity only now and then.
kubectl patch node "$node" --subresource=status --type=merge --patch \
  "{\"status\": {\"capacity\": {\"nvidia.com/gpu\": \"$devices\"}, \"allocatable\": {\"nvidia.com/gpu\": \"$devices\"}}}"
