r"""A search with Ray Tune and Optuna on a running cluster, as many trials at a time as it has CPUs or GPUs.

Submit from the project's folder (FLAG3D_HOME is a folder that every node sees, see cluster.yaml):
    flag3d submit sweep hlrac --preset tiny --home /mnt/flag3d
or without the package on the client:
    RAY_AUTH_MODE=token ray job submit --address http://127.0.0.1:8265 --working-dir . \
        --runtime-env-json '{"env_vars": {"FLAG3D_HOME": "/mnt/flag3d"}}' -- python -m jobs.sweep hlrac --preset tiny
Expected duration: some minutes per trial at the preset `tiny`, divided by the trials that go on at a time.
The study is in the home: submitted again, the search continues.
"""

from flag3d_ray.commands.submit import run_as_job

if __name__ == "__main__":
    run_as_job("sweep")
