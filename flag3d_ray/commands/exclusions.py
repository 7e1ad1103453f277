"""`--exclude`: a list of sequences, stored with the dataset that it is about."""

from pathlib import Path

from flag3d_ray.commands.launch import Launch, interruptible


def stored_exclusions(launch: Launch, dataset: str, file: Path, *, make: bool = True) -> str:
    """Store an exclusion list with its dataset, which is made first where it can be; the list's digest.

    Raises:
        DataError: the dataset is not there, or the list is no list of its sequences.
    """
    from flag3d_ray.data.catalogue import require
    from flag3d_ray.data.dataset import open_dataset
    from flag3d_ray.data.exclusions import read_exclusions, store_exclusions

    exclusions = read_exclusions(file)
    if make:
        with interruptible(launch.console):
            launch.data(dataset)
    folder = launch.home.dataset(dataset)
    require(dataset, folder)
    name = store_exclusions(folder, exclusions, open_dataset(folder).index["sample_id"].to_pylist())
    launch.home.share_lists(dataset)
    return name
