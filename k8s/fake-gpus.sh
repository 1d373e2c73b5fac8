#!/usr/bin/env bash
# Adds simulated GPUs to a node:  k8s/fake-gpus.sh skutune-worker [8]
#
# The script sets nvidia.com/gpu in the node's status, so that the scheduler, quotas and skutune's device budget count them as
# on a real GPU node. There is no driver and no device in any container: only CPU images work on the node, with
# `gpu.check: false`. Never use it in a shared cluster, where pods that need a GPU would be scheduled to the node. To undo it,
# delete the node or run `k8s/fake-gpus.sh NODE 0`.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ] || ! [[ "${2:-8}" =~ ^[0-9]+$ ]]; then
  echo "usage: $0 NODE [DEVICES]" >&2
  exit 10
fi
node=$1
devices=${2:-8}

# Both are set, because the kubelet updates allocatable from capacity only periodically.
kubectl patch node "$node" --subresource=status --type=merge --patch \
  "{\"status\": {\"capacity\": {\"nvidia.com/gpu\": \"$devices\"}, \"allocatable\": {\"nvidia.com/gpu\": \"$devices\"}}}"
