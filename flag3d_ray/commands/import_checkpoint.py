"""`flag3d import-checkpoint`: a checkpoint of the authors' released network as weights of ours, with a card to fill in."""

from pathlib import Path
from typing import Annotated

import typer

from flag3d_ray.commands.options import plain_console
from flag3d_ray.errors import DataError

_FILL_IN = ("url", "licence", "trained_on", "split", "text_encoder", "caption_level")


def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="Released checkpoint of HL-RAC: safetensors, .ckpt or .pt.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for model.safetensors and card.json.")],
) -> None:
    """Convert a checkpoint of the authors' HL-RAC (LRAC) to the network of the profile `released`.

    Safetensors are read directly. A zip archive of torch.save or of Lightning is read by a process of its own that takes
    tensors and nothing else. Every tensor must have its place in the network, or nothing is written.

    Example: flag3d import-checkpoint test_rac.ckpt --out hl_rac_released
    """
    model, card = out / "model.safetensors", out / "card.json"
    for path in (model, card):
        if path.exists():
            raise DataError(where=str(path), rule="there is a file of that name", remedy="name another folder")

    from flag3d_ray.data.manifest import file_sha256
    from flag3d_ray.files import write_json
    from flag3d_ray.methods.counting.released_weights import from_released, read_released, released_network
    from flag3d_ray.run import to_json
    from flag3d_ray.training.checkpoint import save_tensors

    released = read_released(file)
    method, shapes = released_network(released, str(file))
    tensors = from_released(released, str(file))
    facts = {"file": file.name, "sha256": file_sha256(file)}
    save_tensors(model, tensors, imported=facts)
    described = {"method": to_json(method), "shapes": to_json(shapes), "imported": facts}
    write_json(card, described | dict.fromkeys(_FILL_IN))
    console = plain_console()
    count = sum(tensor.numel() for tensor in tensors.values())
    for line in (
        f"{model}: {len(tensors)} tensors, {count:,} numbers, profile released",
        f"  {shapes.frames} frames, text width {shapes.text_width}, widths {', '.join(map(str, method.widths))}",
        f"fill in {card}: {', '.join(_FILL_IN)}",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
