"""Charts as inline SVG. Colours and type come from the page's style sheet, so one drawing serves light and dark."""

from miner.report.charts.curves import curve_chart
from miner.report.charts.degree import degree_chart
from miner.report.charts.precision import precision_chart
from miner.report.charts.scatter import scatter_chart
from miner.report.charts.similarity import similarity_chart

__all__ = ["curve_chart", "degree_chart", "precision_chart", "scatter_chart", "similarity_chart"]
