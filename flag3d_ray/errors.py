"""Errors that say what, where, why and what to type next. The command line prints them without a traceback, exit code 2."""


class Flag3dError(Exception):
    """A problem the user can solve: `where` it is, the `rule` that is broken, the `remedy` to type or do."""

    def __init__(self, *, where: str, rule: str, remedy: str) -> None:
        self.where, self.rule, self.remedy = where, rule, remedy
        super().__init__(f"{where}: {rule}. Remedy: {remedy}")

    def __reduce__(self) -> tuple:
        """Exceptions with keyword arguments do not survive pickling by default, and Ray sends them between processes."""
        return _rebuild, (type(self), self.where, self.rule, self.remedy)


def _rebuild(kind: type[Flag3dError], where: str, rule: str, remedy: str) -> Flag3dError:
    return kind(where=where, rule=rule, remedy=remedy)


class DataError(Flag3dError):
    """A dataset, shard, manifest, split or sample breaks a rule."""


class RunError(Flag3dError):
    """A run cannot be described, started or continued."""


class Diverged(Flag3dError):
    """Training left the finite numbers; the run ends with this as its reason."""


class EncoderUnreachable(Flag3dError):
    """A text encoder's weights are neither in the cache nor in the given folder."""
