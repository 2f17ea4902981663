"""posteriordb: the data of Bayesian posteriors, and reference draws of them (Magnusson et al. 2025).

The files are those of the repository stan-dev/posteriordb: a zip archive with one JSON text for each data set, and one
for each set of draws. What is hashed is the text.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nfbench.data.protocol import Rows, sha256
from nfbench.data.source import Source
from nfbench.data.storage.files import File, find, nowhere, read
from nfbench.foundation.names import unknown
from nfbench.specification.registry import register_data

Kind = Literal["data", "draws"]

_NAME = "posteriordb"
_FOLDERS: dict[Kind, str] = {"data": "data/data", "draws": "reference_posteriors/draws/draws"}
_MIRROR = "https://raw.githubusercontent.com/stan-dev/posteriordb/master/posterior_database"
# Name, kilobytes of the archive, bytes of the text, sha256 of the text.
_DATA = """
arK 3 3969 8c561dcceb3e74654097f25f07277cd5448fc175f4a2589962bb817a54e4e742
arma 3 3928 42dae9f7ccca02a5e62f6e89e6e0ffcc15dee5d42638d7540147b0c8b88b8cab
bball_drive_event_0 8 15410 8f9d94a824c181e13fe939c2e52d2f59ddf61deebe6653fedba2ba1d4477ed8a
bball_drive_event_1 8 15650 c283aee9403f0e8aad499cdaf8e501f5473d879839441dc6af7b0a8a7b017dd5
diamonds 308 2350454 681cd95077f24986782f8ad2b52f1a0ca80b337d368d6be155264b6abe3ba21d
earnings 4 16509 a3c1192078b1e08b68bed1c075ebb3072c84db7dc031b678ab66293d3691504c
eight_schools 1 95 f06889e8cae3755c00a4a44f002d5fc3acf3263ff9ae8ffe5655b1907bcadd80
garch 3 3640 6f5dd0d191c8f5f0dd655d1936a78dded65c41807d9c733e18d08a2fb0437ce0
gp_pois_regr 1 221 9094c25b7653ba5f347178b2614d697fd7b709d4ee16ca33112ffd6266936e12
hmm_example 2 1820 8fe2ad2a4ceb9f006694dced959f4fb8190277cfaadde2a281ebef92b6a36019
hudson_lynx_hare 1 470 381934bf92c9f86e938da824fda8adcc0b5b43dd3c0eb62c0686006beea0893d
kidiq 5 11036 8f6026d1d51013be5956cdeec880e4fd522c1a98a8d1c3600f12dd438924f21b
kidiq_with_mom_work 5 12314 dbf64ae3f0960af11dacdbe5e5f37e0cd7808996a248f277cbea04f0c0705369
kilpisjarvi_mod 1 837 d967c8eec8059f9784feb9bf425c2a6730dc7573da3f0b9ec8007fcdcaa85baa
low_dim_gauss_mix 10 18571 9adb76f51fed5426f26090ce18c2bf732aef7695aadb57fa12e11efc5f0d9efb
mesquite 1 1618 32002e710ee5228e3d7d96109932de86f4e6490cdf0840f472f648b17ff3fb92
nes1972 5 36120 adafcabd097476afd9bc9c6c9a0c567615ada6c141714f37c473f478888f040f
nes1976 4 32190 4f67161bbf8a510f888296f2c73f6d6816e8c7ae59d0d5a12780824d03f0018a
nes1980 3 19124 01648fa28d7ba698e1e05b03a2b23a3b2ccbfa11d16bdcdb004c92b42c618766
nes1984 4 33414 2dd85833051b7b086231fbf92c47420d97a2f651838fd368a1800228d44a57a6
nes1988 4 30391 4b8eaca3870c2cfcfdd64c931132182eb959042fe8975f76b72f17f06bb35092
nes1992 5 36824 7274bb21b2858381e106405965138e19beee5b10e2a97ad1a51d36b53f3eba61
nes1996 4 28523 38cfd1fd41039870448ee851bf6ba1517933475875307f1c04aa66ec1f44c768
nes2000 2 13119 336edc63ad7d647a5a0d6532bad705383517a7fd95e178b0056617267442e95b
one_comp_mm_elim_abs 1 514 8df0f4206783394f97241d81f8ba53680dd559f1bc9ad3a721ee438c9151093e
sblrc 6 11703 d78239c2ff72fb578461d3ed4494f8c5d46e9089c61b4275d7c2f530452e3e9e
sblri 6 11691 5a0a7eec0d478e0aa194a2e7b1597f6589d3c5862abebf440f4c32c2dd4b814c
"""
_DRAWS = """
arK-arK 589 1377015 178e3dec859df0c629b50d12d4fc014ce2ce3fc55014d93a1f5f983c55e1a47c
arma-arma11 335 791499 316db54cfc174dd37ed74976df3b75e36825a41f568bff865ffe37256d709155
bball_drive_event_0-hmm_drive_0 655 1539437 39ca895ad7417e959a0f379b6cd5dcdac368c33e6ff6d7efba7caa161d897586
bball_drive_event_1-hmm_drive_1 631 1529786 e31a2dca25101dd04f024a61abd90c2a14d943661949ec42b03bc5aac2291b60
diamonds-diamonds 2135 5118506 4e3f193f53ddf257a21c7f4214b6997dc268432048cbb21e81da5a0e8261e700
earnings-earn_height 257 547199 f11f2651b87ceafa9aff2246c9cb6f61e1e1e3048aa42f8faec3f657e3a05ff4
earnings-log10earn_height 243 567262 6783ac64eee8e5c6dcfe2257328f9af3e256787d7195d961ffac18eacf2743d1
earnings-logearn_height 248 567237 8b4a8027b58cd8006eac3aebdea4191c26a6d2309f2bfc3c98dad6ca3ca15b83
earnings-logearn_height_male 332 757891 217f5bbf26fcfba9708abed5248c83ed172ab1e5db4c6f1cfe6dfadd62110b05
earnings-logearn_interaction 427 968525 eb40bc60caf9450a4cfb9f1eae302e45c7993ee583d90081b3272f0af5625c2c
earnings-logearn_interaction_z 415 957147 08fb4bf93c3c0970448f3efd2f6a78fbffdf7ae447589524c7f5f2484200b10f
earnings-logearn_logheight_male 334 741191 2c0be561a9becc20cb7dbb509384fdd06c1f23002a05f4f59d57e03e4fd7b0b8
eight_schools-eight_schools_noncentered 843 1814179 a5bc69a0892df38f4fad0d90ecdadeeb7c3cdad4dcde87c6c3e9be1430f0ca77
garch-garch11 330 738987 f94c7f5e02ed62543b8f743ebcb8e0c67f1f2baa75c82bf78d910b82b98983c9
gp_pois_regr-gp_pois_regr 1032 2328882 48b016b110a3d76d0c90d67c2dbbf306d128392bb47a7be5da2dff04cea57db9
gp_pois_regr-gp_regr 247 537306 b26e16b9b8c243367af54f1c6cbcb0f35875056d92e9bf895cad83c3c5d77732
hmm_example-hmm_example 493 1122837 76cdf316c239555b30f146c1964b78a2504b604eccf58a930114305e445f98d9
hudson_lynx_hare-lotka_volterra 658 1512511 e54ab89d9f9b6d39c940df3db47b784a15606fbc3a8151de341e90c509e05d7d
kidiq-kidscore_interaction 422 929882 6e15fc53fbf00e594ea1485f29b456db9de0622e20e5cc02b32d94e53f7aacb8
kidiq-kidscore_momhs 244 537248 cf563caae59ed245279e0af8ed20f3409308166f00098c46b14226b31c5be9a9
kidiq-kidscore_momhsiq 331 726448 396e7be811487fef26471eca564d89b8a789519475759e637eab95cdd652192d
kidiq-kidscore_momiq 247 547244 abbe5b2aa4877cd8eaa0969f6c169d80b354cee036be73c9a843cce53f6ea2ca
kidiq_with_mom_work-kidscore_interaction_c 414 928374 b877d01f6cdfb69f62caf025906cf2906be3cb10baa8ff2f7cea1673d2e4d65c
kidiq_with_mom_work-kidscore_interaction_c2 416 928525 022a5d75e3eee60f01d4ec9c8522ced27eb341959a5c69d326a1431f78272c62
kidiq_with_mom_work-kidscore_interaction_z 412 908936 fa2737232e6472abc78455d3e1c8673e2c4d738f13c166bc924a5ebac366445f
kidiq_with_mom_work-kidscore_mom_work 415 898524 d3be361d3a0f01e06601764e08c162d11797fe782e61e95be6900553ae540045
kilpisjarvi_mod-kilpisjarvi 256 569755 f946530f288491ecab57e655124aa5596f571d9e9e51b9cd9c4ca292768618c8
low_dim_gauss_mix-low_dim_gauss_mix 391 919978 ca6bca2404eed9d11756796ef67938307cc6e4676d1bfe0ff1428a66ea96fd9e
mesquite-logmesquite 669 1517542 6e1c245e2b63572864ecbff59fd6bcb76f32363d3020485e0239ea1a7725d2ae
mesquite-logmesquite_logva 415 947759 9e2277e2636a5e7e005f0d9e2ea780f30bf79a0cc3e871f2bde4fce8f7372a8d
mesquite-logmesquite_logvas 674 1535765 91274523d2e74e0193b3eab7b6de50890c1afbc76f30cd4f8f0dcc21c0be2bd5
mesquite-logmesquite_logvash 588 1339647 fbdd0c3363c072179f431c46b886d1aa742e067bc65e040888f5e6fb599015b8
mesquite-logmesquite_logvolume 244 557154 304f6cccfcd27d82240f9f40f5708e4dfb8891a45f95f6c9d25d6a7c97143361
mesquite-mesquite 693 1460819 0b139334c595dcb3b4bf40ce807d6a9d889ec8239342e16b6ca25f6cc16028ea
nes1972-nes 831 1912107 f9ebf60188275a2a3ce7c5f43f05b9de2523a1600fce651fffaaeb5592a95678
nes1976-nes 829 1909129 d8b25760f414c9c8689e2916d19d2ab6ed075aaaba918abe0a1f6e636328216a
nes1980-nes 835 1920595 13a8204cfe7d58b38ec19ab2700b258d2c8d8039a86b404fb1142b7705f692a3
nes1984-nes 831 1924602 ac8e96191212b77dc97f44d79164f5365ba049e5d2d0f388f6d43bc8630b225f
nes1988-nes 832 1927864 8c73ce50dae240a0a09daef7fe5c06d4ac1cc58735d99ff2bd350ef3ed141459
nes1992-nes 826 1920259 05ccfff152ddb2bdd771c7197cd2906739b6c378834b58f62ac36afdde41f9d3
nes1996-nes 836 1934435 dd6738bd84f966107a19c1932b078c36578ca7cd699b097ce85e2c22abddbba8
nes2000-nes 837 1923707 ffad0cfe0d4d4343a6baaa9783df0e70c7c6eeb1b345f3922fc121dcee0edccb
one_comp_mm_elim_abs-one_comp_mm_elim_abs 333 749749 475d8721a169db6990799c0e7fc1d5290be4b166c3704430ac18683ea52f1b98
sblrc-blr 442 1120185 c5e94c80ea6e4b75d063eb2dab19f1cb5e2b8e42b66d4dafec8fb725f896fe34
sblri-blr 432 1098122 8146fd2763abe17f96edae17cf2eccd33e67f81614000dd8bd5f8d489517b210
"""


def _text(content: bytes) -> Rows:
    """The JSON text of an archive, or of a file that is not compressed, as one row of bytes."""
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            (member,) = archive.namelist()
            content = archive.read(member)
    return np.frombuffer(content, np.uint8)[None]


def _files(kind: Kind, table: str) -> dict[tuple[Kind, str], File]:
    files = {}
    for line in table.split("\n")[1:-1]:
        name, packed, size, digest = line.split()
        place = f"{_FOLDERS[kind]}/{name}.json.zip"
        files[(kind, name)] = File(
            # In a folder that holds the database, be it a copy of the repository, or that folder itself.
            names=(f"{_NAME}/{place}", f"posterior_database/{place}", f"{_NAME}/{place.removesuffix('.zip')}", place),
            decode=_text,
            shape=(1, int(size)),
            size=1000 * int(packed),
            sha256=digest,
            mirrors=(f"{_MIRROR}/{place}",),
            holds=f"a JSON text of {size} bytes",
        )
    return files


_FILES = _files("data", _DATA) | _files("draws", _DRAWS)

SOURCE = Source(_NAME, "BSD-3-Clause, Stan Developers and their Assignees", tuple(_FILES.values()))


@dataclass(frozen=True)
class Archive:
    """All of posteriordb that nfbench knows, proved.

    Attributes:
        protocol: name, numbers of data sets and of sets of draws, and the sha256 of all texts.
    """

    protocol: str


@register_data("posteriordb", SOURCE, label="posteriordb", cite="Magnusson et al. 2025", year=2025)
def posteriordb() -> Any:
    """Data and reference draws of 46 Bayesian posteriors, for the target posteriordb; no images."""
    kinds = [kind for kind, _ in _FILES]
    digest = sha256(*SOURCE.rows())
    return Archive(f"{_NAME}:json,{kinds.count('data')}+{kinds.count('draws')}@{digest[:12]}")


def content(kind: Kind, name: str) -> Any:
    """Read one file.

    Args:
        kind: a data set, or reference draws.
        name: such as ``eight_schools``, or ``arK-arK`` of draws.

    Returns:
        What the JSON text holds: of a data set a dictionary; of draws a list of chains, each a dictionary of lists.

    Raises:
        InputError: there is no file of that name, it is missing (in one line that says how to get it), or it holds
            something else.
    """
    file = _FILES.get((kind, name))
    if file is None:
        raise unknown(f"posteriordb {kind}", name, [known for one, known in _FILES if one == kind])
    return json.loads(read(file, find(file) or nowhere(file, _NAME)).tobytes())
