r"""A table on a running cluster, as many runs at a time as it has CPUs or GPUs.

Submit from the project's folder (FLAG3D_HOME is a folder that every node sees, see cluster.yaml):
    flag3d submit table 3 --preset tiny --home /mnt/flag3d
or without the package on the client:
    RAY_AUTH_MODE=token ray job submit --address http://127.0.0.1:8265 --working-dir . \
        --runtime-env-json '{"env_vars": {"FLAG3D_HOME": "/mnt/flag3d"}}' -- python -m jobs.table 3 --preset tiny
Expected duration: hours on two CPUs for Table 3 at the preset `tiny`, in proportion less on more.
On a cluster that grows, --concurrent N asks for N runs at a time from the beginning.
"""

from flag3d_ray.commands.submit import run_as_job

if __name__ == "__main__":
    run_as_job("table")
