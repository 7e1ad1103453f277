"""Checks of what the sequences of a dataset say about its actions: names, captions, and whether repetitions are marked."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from flag3d_ray.data.doctor.entry import Entry
from flag3d_ray.data.findings import Finding
from flag3d_ray.sample import Sample


class Actions:
    """Collects names and captions; keeps one text of each."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = defaultdict(set)
        self._captions: dict[str, set[tuple[str, str, str]]] = defaultdict(set)

    def add(self, sample: Sample) -> None:
        """Take the next sequence in."""
        if sample.source != "procedural":
            self._names[sample.action_id].add(sample.action)
            self._captions[sample.action_id].add(sample.captions)

    def found(self) -> Iterator[Finding]:
        """An action under two names, a name under two actions, captions that differ, captions that only repeat the name."""
        ids: dict[str, list[str]] = defaultdict(list)
        for action, names in sorted(self._names.items()):
            ids[min(names).strip().casefold()].append(action)
            if len(names) > 1:
                rule = f"action {action} has {len(names)} names: {', '.join(map(repr, sorted(names)[:3]))}"
                yield Finding(severity="warning", rule=rule, remedy="give all its sequences one name")
            if len(self._captions[action]) > 1:
                rule = (
                    f"action {action} has {len(self._captions[action])} sets of captions: one of them is read for all"
                )
                yield Finding(severity="warning", rule=rule, remedy="give all its sequences the same captions")
        for actions in ids.values():
            if len(actions) > 1:
                name = min(self._names[actions[0]])
                rule = f"{name!r} is the name of actions {', '.join(actions)}: one of them may be tested as unseen"
                yield Finding(severity="warning", rule=rule, remedy="give them one action_id, or names of their own")
        bare = [action for action, three in self._captions.items() if all(len(set(levels)) == 1 for levels in three)]
        if bare:
            rule = f"{len(bare)} of {len(self._names)} actions have one text for all three levels of captions"
            yield Finding(severity="note", rule=rule, remedy="write captions where methods with language are compared")


def count_findings(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Sequences without repetitions: errors among sequences that have some, one note where most have none."""
    without = [entry for entry in entries if not entry.count]
    if 2 * len(without) > len(entries):
        rule = f"{len(without)} of {len(entries)} sequences have no repetition marked"
        yield Finding(severity="note", rule=rule, remedy="use them for recognition; counting needs repetitions")
        return
    for entry in without:
        remedy = "mark the repetitions, or leave the sequence out with an exclusion list"
        yield entry.found(Finding(severity="error", rule="no repetition is marked: the count is 0", remedy=remedy))
