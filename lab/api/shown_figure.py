"""A matplotlib figure that Jupyter shows."""

import io

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lab.studies.figures.style import STYLE


class ShownFigure(Figure):
    """As any figure; Jupyter shows those of pyplot alone by itself."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        with rc_context(STYLE):
            FigureCanvasAgg(self).print_png(data)
        return data.getvalue()


def shown(figure: Figure) -> Figure:
    """`figure`, as one that Jupyter shows."""
    figure.__class__ = ShownFigure
    return figure
