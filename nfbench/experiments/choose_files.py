"""The files of `nfbench choose`: the outcome as JSON, and a picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nfbench.foundation.files import make_folder, replace
from nfbench.present.plots.ranking import picture
from nfbench.present.plots.style import save, shortened, slug, theme
from nfbench.specification.choices import CHOICES
from nfbench.specification.config import digest
from nfbench.specification.spec import is_of_file
from nfbench.training.fitted import Fitted

_QUESTION = ("target", "sources", "margin", "budget")  # the fields that say what was asked


def write(data: dict[str, Any], results: Path, out: Path, fits: Sequence[Fitted] = ()) -> list[Path]:
    """Store an outcome, in place of an earlier one of the same question.

    Args:
        data: as `nfbench.experiments.choose.Chosen.as_data` gives it.
        results: folder of records; the file goes to its folder ``choose``.
        out: folder of the picture.
        fits: of the chosen family, stored beside the outcome, so that it can be exported.

    Returns:
        The JSON file, the fits, and the picture as PNG and as SVG.

    Raises:
        InputError: a folder cannot be made.
    """
    question = digest({name: data[name] for name in _QUESTION})[:8]
    target = data["target"]
    model = target.partition(",")[0] if is_of_file(target) else target  # without the file of its data
    name = shortened(f"{slug(Path(model).stem)}-{question}")
    make_folder(results / CHOICES)
    make_folder(out)
    file = results / CHOICES / f"{name}.json"
    replace(file, json.dumps(data, indent=1).encode())
    for old in results.joinpath(CHOICES).glob(f"{name}-seed*.safetensors"):
        old.unlink()
    weights = [each.save(results / CHOICES / f"{name}-seed{each.seed}.safetensors") for each in fits]
    with theme():
        drawn = picture(data)
    return [file, *weights, *save(drawn, out, name)]
