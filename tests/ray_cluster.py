"""A Ray cluster of two one-core nodes on this machine: prints its address, loses a node at the word `lose`, and ends
with its input."""

import sys

from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]


def main() -> None:
    cluster = Cluster()
    cluster.add_node(num_cpus=1, num_gpus=0, include_dashboard=False)
    second = cluster.add_node(num_cpus=1, num_gpus=0)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "lose":
            cluster.remove_node(second, allow_graceful=False)
            print("lost", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
