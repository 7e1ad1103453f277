"""`flag3d export-checkpoint`: a trained run as a folder to give away, with the card that the store can write."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flag3d_ray.commands.options import HomeOption
from flag3d_ray.errors import RunError
from flag3d_ray.home import Home


def export_checkpoint(
    key: Annotated[str, typer.Argument(help="The run: its key, or the first digits.")],
    out: Annotated[Path, typer.Option("--out", help="A folder that is not there yet.")],
    licence: Annotated[str, typer.Option("--licence", help="The licence of the weights.")],
    remarks: Annotated[
        Path | None, typer.Option("--remarks", help="Markdown with what else a user must know.", show_default="none")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Write the weights, the run and a card as a folder that counts without this store.

    The card holds what was measured in this store: the run's own test, and every run that judged its weights on other data.

    Example: flag3d export-checkpoint 1a2b3c4d --out counter --licence "Apache-2.0"
    """
    from flag3d_ray.training import packaged
    from flag3d_ray.training.model_card import model_card

    place = Home.at(home)
    found = [folder for folder in place.store if folder.key.startswith(key)] if key else []
    if len(found) != 1:
        rule = f"the keys of {len(found) or 'no'} runs begin so"
        raise RunError(where=f"run {key!r}", rule=rule, remedy=packaged.what_to_name(place))
    said = "" if remarks is None else _text_of(remarks)
    folder = packaged.export_checkpoint(found[0], out, model_card(found[0], place, licence, said))
    Console().print(f"written: {folder}", soft_wrap=True, highlight=False, markup=False)


def _text_of(remarks: Path) -> str:
    if not remarks.is_file():
        rule = "not a file" if remarks.exists() else "no such file"
        raise RunError(where=str(remarks), rule=rule, remedy="name a Markdown file, or leave --remarks out")
    try:
        return remarks.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        rule = f"it cannot be read as text in UTF-8: {error}"
        raise RunError(
            where=str(remarks), rule=rule, remedy="name a Markdown file in UTF-8, or leave --remarks out"
        ) from error
