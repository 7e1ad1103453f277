"""`cluster.yaml` is what `ray up` accepts, and keeps the promises that Ray's schema does not check."""

import copy
import logging
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def prepared(written: dict[str, Any]) -> dict[str, Any]:
    util = pytest.importorskip("ray.autoscaler._private.util")
    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)
    config = util.prepare_config(copy.deepcopy(written))
    util.validate_config(config)
    return config


def test_ray_accepts_the_file(prepared: dict[str, Any]) -> None:
    assert prepared["docker"]["image"]


def test_ray_refuses_a_field_that_it_does_not_know(prepared: dict[str, Any]) -> None:
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import validate_config

    with pytest.raises(ValidationError, match="max_wokers"):
        validate_config(prepared | {"max_wokers": 1})


def test_the_head_is_one_of_the_node_types(written: dict[str, Any]) -> None:
    assert written["head_node_type"] in written["available_node_types"]


def test_every_node_type_has_a_machine_and_a_range_of_workers(prepared: dict[str, Any]) -> None:
    for name, node in prepared["available_node_types"].items():
        assert node["node_config"]["InstanceType"], name
        assert 0 <= node["min_workers"] <= node["max_workers"] <= prepared["max_workers"], name


def test_the_workers_have_the_cpus_and_the_head_has_none(written: dict[str, Any]) -> None:
    cpus = {name: node["resources"]["CPU"] for name, node in written["available_node_types"].items()}
    assert cpus.pop(written["head_node_type"]) == 0
    assert min(cpus.values()) > 0


def test_every_node_asks_for_the_token_and_shares_one_home(written: dict[str, Any]) -> None:
    options = written["docker"]["run_options"]
    assert "--env RAY_AUTH_MODE=token" in options
    assert "--env FLAG3D_HOME=/mnt/flag3d" in options
    assert "--volume /mnt/flag3d:/mnt/flag3d" in options
    assert written["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"


def test_a_group_of_workers_has_gpus_and_an_image_for_them(written: dict[str, Any]) -> None:
    gpus = [node for node in written["available_node_types"].values() if node["resources"].get("GPU")]
    assert gpus
    assert all(node["docker"]["worker_image"].endswith("-gpu") for node in gpus)


def test_every_group_may_grow_and_shrink(prepared: dict[str, Any]) -> None:
    nodes = prepared["available_node_types"]
    workers = [node for name, node in nodes.items() if name != prepared["head_node_type"]]
    assert all(node["min_workers"] < node["max_workers"] for node in workers)
    assert prepared["max_workers"] >= sum(node["max_workers"] for node in workers)
    assert prepared["idle_timeout_minutes"] > 0


def test_the_dashboard_listens_on_loopback_only(written: dict[str, Any]) -> None:
    assert "--dashboard-host=127.0.0.1" in " ".join(written["head_start_ray_commands"])


def test_mlflow_runs_on_the_heads_loopback_where_the_head_looks_for_it(written: dict[str, Any]) -> None:
    """With the options of `flag3d ui`, on the home's database."""
    from flag3d_ray.mlflow_server import Place, _command

    (command,) = [line for line in written["head_start_ray_commands"] if "mlflow server" in line]
    words = shlex.split(command.partition("mlflow server")[2].partition(" > ")[0])
    place = Place("127.0.0.1", "127.0.0.1", 5000)
    ours = _command(Path("/mnt/flag3d/mlruns"), place)
    ours = ["--backend-store-uri", "sqlite:////mnt/flag3d/mlflow.db", *ours[ours.index("server") + 1 :]]
    assert dict(zip(words[::2], words[1::2], strict=True)) == dict(zip(ours[::2], ours[1::2], strict=True))
    assert written["docker"]["head_run_options"] == ["--env MLFLOW_TRACKING_URI=http://127.0.0.1:5000"]


def test_the_image_has_the_ray_that_the_constraints_name(written: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    (pin,) = [line.removeprefix("ray==") for line in lines if line.startswith("ray==")]
    images = [written["docker"]["image"]]
    images += [node["docker"]["worker_image"] for node in written["available_node_types"].values() if "docker" in node]
    assert all(f"ray:{pin}-" in image for image in images)
