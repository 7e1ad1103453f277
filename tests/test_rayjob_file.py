"""`jobs/rayjob.yaml` has the fields that KubeRay knows, an entry point that can be typed, and one home for all pods."""

import copy
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

ROOT = Path(__file__).parents[1]

# The fields of ray.io/v1 that KubeRay's API reference lists: authOptions since 1.5.1, the others since 1.3.
STRING, WHOLE, FLAG, FREE = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}, {}
STRINGS = {"type": "object", "additionalProperties": STRING}


def fields(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


CONTAINER = {
    "type": "object",
    "required": ["name", "image", "resources"],
    "properties": {"name": STRING, "image": STRING},
}
POD = {
    "type": "object",
    "required": ["containers"],
    "properties": {"containers": {"type": "array", "items": CONTAINER}},
}
TEMPLATE = fields("spec", metadata=FREE, spec=POD)
HEAD = fields(
    "template", template=TEMPLATE, headService=FREE, enableIngress=FLAG, rayStartParams=STRINGS, serviceType=STRING
)
WORKERS = fields(
    "groupName",
    "template",
    suspend=FLAG,
    groupName=STRING,
    replicas=WHOLE,
    minReplicas=WHOLE,
    maxReplicas=WHOLE,
    idleTimeoutSeconds=WHOLE,
    rayStartParams=STRINGS,
    template=TEMPLATE,
    scaleStrategy=FREE,
    numOfHosts=WHOLE,
)
AUTOSCALER = fields(
    resources=FREE,
    image=STRING,
    imagePullPolicy=STRING,
    securityContext=FREE,
    idleTimeoutSeconds=WHOLE,
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    version={"enum": ["v1", "v2"]},
    env=FREE,
    envFrom=FREE,
    volumeMounts=FREE,
)
CLUSTER = fields(
    "headGroupSpec",
    suspend=FLAG,
    managedBy=STRING,
    autoscalerOptions=AUTOSCALER,
    headServiceAnnotations=STRINGS,
    enableInTreeAutoscaling=FLAG,
    gcsFaultToleranceOptions=FREE,
    headGroupSpec=HEAD,
    rayVersion=STRING,
    workerGroupSpecs={"type": "array", "items": WORKERS},
    authOptions=fields(mode={"enum": ["token", "disabled"]}),
)
JOB = fields(
    "entrypoint",
    "rayClusterSpec",
    activeDeadlineSeconds=WHOLE,
    backoffLimit=WHOLE,
    rayClusterSpec=CLUSTER,
    submitterPodTemplate=TEMPLATE,
    metadata=STRINGS,
    clusterSelector=STRINGS,
    submitterConfig=fields(backoffLimit=WHOLE),
    managedBy=STRING,
    deletionStrategy=FREE,
    entrypoint=STRING,
    runtimeEnvYAML=STRING,
    jobId=STRING,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    entrypointResources=STRING,
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    ttlSecondsAfterFinished=WHOLE,
    shutdownAfterJobFinishes=FLAG,
    suspend=FLAG,
)
MANIFEST = fields(
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields("name", name={"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]{0,45}[a-z0-9])?$"}),
    spec=JOB,
)


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "jobs" / "rayjob.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = manifest["spec"]["rayClusterSpec"]
    return [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def test_the_manifest_has_kuberays_fields_only(manifest: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(manifest, MANIFEST)

    wrong = copy.deepcopy(manifest)
    wrong["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 1
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(wrong, MANIFEST)


def test_the_entry_point_is_a_job_whose_words_its_verb_takes(manifest: dict[str, Any]) -> None:
    from flag3d_ray.cli import app

    python, dash_m, module, *words = shlex.split(manifest["spec"]["entrypoint"])
    folder, _, verb = module.partition(".")
    assert (python, dash_m, folder) == ("python", "-m", "jobs")
    assert (ROOT / "jobs" / f"{verb}.py").exists()
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    assert command.make_context(verb, words).params["name"] == "3"


def test_ray_accepts_the_runtime_environment(manifest: dict[str, Any]) -> None:
    from ray.runtime_env import RuntimeEnv

    written = yaml.safe_load(manifest["spec"]["runtimeEnvYAML"])
    assert set(written) == {"env_vars"}
    assert RuntimeEnv(**written).env_vars()["FLAG3D_HOME"] == "/mnt/flag3d"


def test_every_pod_has_one_image_and_mounts_the_home(pods: list[dict[str, Any]]) -> None:
    containers = [container for pod in pods for container in pod["containers"]]
    assert len({container["image"] for container in containers}) == 1
    for pod in pods:
        claims = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
        (container,) = pod["containers"]
        (mount,) = container["volumeMounts"]
        assert (mount["mountPath"], claims[mount["name"]]) == ("/mnt/flag3d", "flag3d-home")


def test_the_head_has_no_cpus_for_work_and_groups_of_workers_may_grow(manifest: dict[str, Any]) -> None:
    cluster = manifest["spec"]["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["minReplicas"] < group["maxReplicas"]


def test_the_cluster_asks_for_a_token_and_has_the_ray_that_the_constraints_name(manifest: dict[str, Any]) -> None:
    cluster = manifest["spec"]["rayClusterSpec"]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert cluster["authOptions"] == {"mode": "token"}
    assert f"ray=={cluster['rayVersion']}" in constraints
