"""Frey faces: 1,965 grey pictures of one face, 28 x 20 pixels, from a film."""

import numpy as np
import torch

from nfbench.data.observations import Observations
from nfbench.data.protocol import Protocol
from nfbench.data.source import Source
from nfbench.data.storage import formats
from nfbench.data.storage.files import File
from nfbench.specification.registry import register_data

_SEED = 2015  # of the shuffle
_SHA256 = "3f4fa328ac1406e2186a310aca9faf4543352c2bd6f468f060831712780087fc"

SOURCE = Source(
    "frey",
    "none stated",
    (
        File(
            names=("freyfaces/freyfaces_uint8_1965x28x20.npy", "freyfaces/frey_rawface.mat"),
            decode=formats.frey,
            shape=(1_965, 560),
            size=1_100_000,
            sha256="2438ba4f0d2a6bd8bac43de756141eaa33c8d248dd613d464bdb1210d9b7af78",
            mirrors=(
                "https://cs.nyu.edu/~roweis/data/frey_rawface.mat",
                "http://www.cs.nyu.edu/~roweis/data/frey_rawface.mat",
            ),
        ),
    ),
)


@register_data("frey", SOURCE, label="Frey faces", cite="Roweis & Saul 2000", year=2000)
def levels() -> Observations:
    """1,565 training, 200 validation and 200 test faces, shuffled once; grey level l of 0 to 255 is (l + 0.5) / 256."""
    (rows,) = SOURCE.rows()
    shuffled = rows[np.random.RandomState(_SEED).permutation(len(rows))]
    parts = np.split(((shuffled + 0.5) / 256).astype(np.float32), [1_565, 1_765])
    data_protocol = Protocol("frey", "levels", (1_565, 200, 200), _SHA256)
    data_protocol.prove(*parts)
    train, valid, test = map(torch.from_numpy, parts)
    return Observations(str(data_protocol), train, valid, test, (1, 28, 20), "levels")
