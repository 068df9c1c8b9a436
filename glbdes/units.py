"""The only conversion constants of the package.

Quantities carry their unit as a suffix of the name (`_ns`, `_s`, `_j`, `_kwh`, `_w`, `_usd`, `_g`, `_kg`, `_l`, with
`_per_` for rates) and are converted once, at the door, with the factors below. No other module writes 3600 or 1e9.
"""

from typing import Final

NS_PER_S: Final = 1_000_000_000
MS_PER_S: Final = 1_000
US_PER_S: Final = 1_000_000
S_PER_H: Final = 3_600
H_PER_DAY: Final = 24
J_PER_KWH: Final = 3.6e6
W_PER_KW: Final = 1_000.0
W_PER_MW: Final = 1e6
KWH_PER_MWH: Final = 1_000.0
G_PER_KG: Final = 1_000.0
KG_PER_T: Final = 1_000.0
L_PER_M3: Final = 1_000.0
KG_PER_LB: Final = 0.45359237  # avoirdupois, exact
L_PER_GAL: Final = 3.785411784  # US liquid gallon, exact
BYTES_PER_MIB: Final = 2**20
EARTH_RADIUS_KM: Final = 6_371.0088
FIBRE_KM_PER_S: Final = 200_000.0  # light in glass, about two thirds of its vacuum speed
