r"""The demo on a running cluster: HL-RAC's language ablation, the search over the same space, and rows of Table 3.

Submit from the project's folder (FLAG3D_HOME is a folder that every node sees, see cluster.yaml):
    flag3d submit demo --home /mnt/flag3d
or without the package on the client:
    RAY_AUTH_MODE=token ray job submit --address http://127.0.0.1:8265 --working-dir . \
        --runtime-env-json '{"env_vars": {"FLAG3D_HOME": "/mnt/flag3d"}}' -- python -m jobs.demo
Expected duration: under eight minutes on two CPUs, seconds when every cell is in the store.
Submitted again, it continues what a lost job began.
"""

from flag3d_ray.commands.submit import run_as_job

if __name__ == "__main__":
    run_as_job("demo")
