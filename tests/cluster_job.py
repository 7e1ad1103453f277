"""Both ends of the cluster test: `submit ADDRESS RUNS` sends this file's other half, `run RUNS`, to a cluster.

A client is a process of its own: Ray reads the token once per process, and pytest's may have read another.
"""

import json
import sys
from pathlib import Path


def submit(address: str, runs: str) -> int:
    """Submit the runs, say under which name, and follow the job."""
    from flag3d_ray import jobs

    client = jobs.connect(address)
    with jobs.upload_folder() as upload:
        submitted = jobs.submit(client, jobs.Job("test", (sys.executable, __file__, "run", runs)), upload)
    print(f"{'attached' if submitted.attached else 'submitted'} {submitted.id}", flush=True)
    return 0 if jobs.follow(client, submitted.id, lambda text: print(text, end="", flush=True)) == "SUCCEEDED" else 1


def run(runs: str) -> int:
    """In the job: make the runs of a JSON file finished, with all CPUs of the cluster."""
    from flag3d_ray.commands.launch import resources
    from flag3d_ray.execution import ensure, require_finished
    from flag3d_ray.home import Home
    from flag3d_ray.methods.catalogue import RECORDED
    from flag3d_ray.run import run_from_json

    asked = [run_from_json(item, RECORDED) for item in json.loads(Path(runs).read_text(encoding="utf-8"))]
    require_finished(ensure(asked, Home.at(), resources("ray", 1, 0, "auto")))
    return 0


if __name__ == "__main__":
    sys.exit({"submit": submit, "run": run}[sys.argv[1]](*sys.argv[2:]))
