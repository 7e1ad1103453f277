r"""The demo's ablation and its rows of Table 3 on a running cluster; goes on when the terminal is closed.

Submit from the project's folder, N runs at a time (FLAG3D_HOME is a folder that every node sees, see cluster.yaml):
    RAY_AUTH_MODE=token ray job submit --address http://127.0.0.1:8265 --working-dir . \
        --runtime-env-json '{"env_vars": {"FLAG3D_HOME": "/mnt/flag3d"}}' -- python -m jobs.demo N
Expected duration: under eight minutes with N = 2, seconds when every cell is in the store.
Submitted again, it continues what a lost job began.
"""

import sys

from rich.console import Console

from flag3d_ray import declarations, render
from flag3d_ray.commands.launch import Launch
from flag3d_ray.execution import require_finished
from flag3d_ray.home import Home
from flag3d_ray.run import Resources
from flag3d_ray.scoring import score

if __name__ == "__main__":
    runs_at_a_time = int(sys.argv[1])
    resources = Resources(address="auto", concurrent=runs_at_a_time, cpus=runs_at_a_time)
    launch, table = Launch(Home.at(), resources, Console()), declarations.demo().table()
    ablation = declarations.demo().ablation()
    require_finished(launch.ensure(ablation.runs(), "HL-RAC's language ablation", ablation.name))
    require_finished(launch.ensure(table.runs(), "Table 3", table.group))
    print(render.markdown(score(table, launch.home)))
