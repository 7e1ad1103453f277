"""What the tests of faults share: homes without runs, and the results of the same runs when nothing disturbs them."""

from collections.abc import Callable, Sequence
from itertools import count

import pytest

from flag3d_ray.execution import ensure
from flag3d_ray.home import Home
from flag3d_ray.run import Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training import loop
from tests.faults.driver import LOCAL, folder_of

Undisturbed = Callable[[Sequence[Run]], Home]
Interrupted = Callable[[Run, Home], RunFolder]


@pytest.fixture
def home(fresh_home: Callable[[], Home]) -> Home:
    """A home without runs."""
    return fresh_home()


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    """Runs that were interrupted in their third epoch: two epochs are in the log, and in the checkpoint."""

    def leave(run: Run, home: Home) -> RunFolder:
        steps, loss = count(1), loop._loss

        def ctrl_c(module, batch):
            if next(steps) == 6:
                raise KeyboardInterrupt
            return loss(module, batch)

        with monkeypatch.context() as patched:
            patched.setattr(loop, "_loss", ctrl_c)
            with pytest.raises(KeyboardInterrupt):
                ensure([run], home, LOCAL)
        return folder_of(run, home)

    return leave


@pytest.fixture(scope="session")
def undisturbed(fresh_home: Callable[[], Home]) -> Undisturbed:
    """A home where the runs are finished and nothing happened to them; each run is computed once per session."""
    calm = fresh_home()

    def finished(runs: Sequence[Run]) -> Home:
        ensure(runs, calm, LOCAL)
        return calm

    return finished
