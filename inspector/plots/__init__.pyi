"""The names for scripts, and where they live; see `inspector/__init__.pyi`."""

from ..picture.curve_styles import styles as styles
from ..picture.theme import ALARM as ALARM
from ..picture.theme import GREY as GREY
from ..picture.theme import INK as INK
from .curves import along_time as along_time
from .curves import level as level
from .curves import log_scale as log_scale
from .curves import plain_axes as plain_axes
from .curves import plot_decay as plot_decay
from .figures import Canvas as Canvas
from .figures import in_style as in_style
from .figures import save as save
from .legends import head as head
from .legends import legend as legend
from .legends import legend_below as legend_below
from .legends import title as title
from .lettering import visible as visible
from .maps import plot_heat_map as plot_heat_map
