"""TensorBoard event files, written with its own writer: scalars, histograms, images, text, graphs, HParams."""
# pyright: reportAttributeAccessIssue=false
# (protobuf makes its classes at import, where a type checker cannot see them)

import itertools
import math
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lab.records.write import remove_file

_number = itertools.count()

WIDEST = 1e30
"""Width of a histogram up to which places are found in float32, and its inverse the least."""


class EventFile:
    """The event file of one run folder. Open it with `with`, or call `close`."""

    def __init__(self, folder: Path):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        # Not TensorBoard's EventFileWriter: when the disk is full, its thread prints a second traceback.
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_number)}"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / name, "xb")  # noqa: SIM115 (closed by `close`)
        self._writer = RecordWriter(self._file)
        self._writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        self.flush()

    def scalar(self, tag: str, value: float, step: int, wall_time: float | None = None) -> None:
        """One point of the curve `tag`."""
        self.scalars({tag: value}, step, wall_time)

    def scalars(self, values: dict[str, float], step: int, wall_time: float | None = None) -> None:
        """One point of each curve, in one record: each record costs a checksum, which is slow in Python."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._add(Summary(value=points), step, wall_time)

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """The distribution of `values`, any shape, in 30 buckets; nothing where a value is not finite."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.compat.proto.types_pb2 import DT_FLOAT
        from tensorboard.plugins.histogram.metadata import create_summary_metadata

        found = buckets(values)
        if not np.isfinite(found).all():
            return
        about = create_summary_metadata(display_name=None, description=None)
        # By hand, and in float32: TensorBoard's own checksum is Python, a byte at a time.
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in found.shape])
        tensor = TensorProto(dtype=DT_FLOAT, tensor_shape=shape, tensor_content=found.astype("<f4").tobytes())
        self._add(Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=tensor)]), step)

    def image(self, tag: str, png: bytes, size: tuple[int, int], step: int) -> None:
        """An image, as the bytes of a PNG file of `size` (height, width)."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(height=size[0], width=size[1], colorspace=3, encoded_image_string=png)
        self._add(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """A page of the Text tab."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._add(text_pb(tag, markdown), step)

    def layout(self, charts: dict[str, dict[str, list[str] | tuple[str, str, str]]]) -> None:
        """The Custom Scalars tab, for all runs that TensorBoard shows.

        Args:
            charts: from category and title to a chart's content: a list of tags, or the tags of (value, low, high),
                drawn as a line with its band.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.custom_scalar import layout_pb2, metadata
        from tensorboard.util.tensor_util import make_tensor_proto

        def chart(title: str, tags: list[str] | tuple[str, str, str]) -> Any:
            if isinstance(tags, list):
                exact = [f"^{re.escape(tag)}$" for tag in tags]
                return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=exact))
            series = layout_pb2.MarginChartContent.Series(value=tags[0], lower=tags[1], upper=tags[2])
            return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=[series]))

        categories = [
            layout_pb2.Category(title=name, chart=[chart(title, tags) for title, tags in members.items()])
            for name, members in charts.items()
        ]
        # The plugin's own `summary.pb`, which would wrap this, needs TensorFlow.
        content = make_tensor_proto(layout_pb2.Layout(category=categories).SerializeToString())
        about = metadata.create_summary_metadata()
        self._add(Summary(value=[Summary.Value(tag=metadata.CONFIG_SUMMARY_TAG, tensor=content, metadata=about)]), 0)

    def graph(self, graph_def: bytes) -> None:
        """The Graphs tab: a serialised `GraphDef`."""
        from tensorboard.compat.proto.event_pb2 import Event

        self.again(Event(wall_time=time.time(), graph_def=graph_def))

    def hparams(self, values: dict[str, Any], group: str) -> None:
        """Starts the run's row in the HParams tab; TensorBoard averages the runs of one `group`.

        A value that is None is left out, an empty cell: the tab can neither sort nor filter a column of several types.
        Of a configuration's key all other values have one.
        """
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

        start = SessionStartInfo(group_name=group, start_time_secs=time.time())
        for key, value in values.items():
            plain = hparam(value)
            if plain is None:
                continue
            if isinstance(plain, bool):
                start.hparams[key].bool_value = plain
            elif isinstance(plain, float):
                start.hparams[key].number_value = plain
            else:
                start.hparams[key].string_value = plain
        self._hparams_summary("_hparams_/session_start_info", HParamsPluginData(session_start_info=start))

    def hparams_columns(self, rows: list[dict[str, Any]], metrics: list[str]) -> None:
        """The columns of the HParams tab, in order; without it metrics are sorted by name and five are ticked.

        A log folder has one order: with several experiments TensorBoard takes the first that it finds.

        Args:
            rows: the `values` that `hparams` got, one dict per run.
            metrics: the tags of scalars.
        """
        from tensorboard.plugins.hparams import api_pb2
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        found = api_pb2.Experiment(metric_infos=[{"name": {"tag": tag}} for tag in metrics])
        for key in dict.fromkeys(key for row in rows for key in row):
            everything = list(dict.fromkeys(hparam(row[key]) for row in rows if key in row))
            values = [value for value in everything if value is not None]
            if not values:
                continue
            info = found.hparam_infos.add(name=key, differs=len(everything) > 1)
            if all(isinstance(value, bool) for value in values):
                info.type = api_pb2.DATA_TYPE_BOOL
                info.domain_discrete.extend(values)
            elif all(isinstance(value, float) for value in values):
                info.type = api_pb2.DATA_TYPE_FLOAT64
                info.domain_interval.min_value, info.domain_interval.max_value = min(values), max(values)
            else:
                info.type = api_pb2.DATA_TYPE_STRING
                info.domain_discrete.extend(map(str, values))
        self._hparams_summary("_hparams_/experiment", HParamsPluginData(experiment=found))

    def hparams_end(self, succeeded: bool) -> None:
        """Ends the run's row in the HParams tab."""
        from tensorboard.plugins.hparams.api_pb2 import Status
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

        status = Status.Value("STATUS_SUCCESS" if succeeded else "STATUS_FAILURE")
        end = SessionEndInfo(status=status, end_time_secs=time.time())
        self._hparams_summary("_hparams_/session_end_info", HParamsPluginData(session_end_info=end))

    def again(self, event: Any) -> None:
        """Copies an event of another file."""
        self._writer.write(event.SerializeToString())

    def flush(self) -> None:
        """Makes everything written so far visible to TensorBoard."""
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hparams_summary(self, tag: str, data: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

        # The plugin's own `summary` module, which would wrap this, needs TensorFlow.
        data.version = 0
        content = SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
        self._add(Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=content))]), None)

    def _add(self, summary: Any, step: int | None, wall_time: float | None = None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self.again(Event(wall_time=wall_time or time.time(), step=step, summary=summary))


def buckets(values: np.ndarray, number: int = 30) -> np.ndarray:
    """Left edge, right edge and count of each bucket, (number, 3).

    As by TensorBoard's `histogram_pb`, which compares each value with each bucket and takes twenty times as long.
    """
    flat = values.ravel()
    if not flat.size:
        return np.zeros((number, 3))
    low, high = float(flat.min()), float(flat.max())
    if not math.isfinite(high - low):
        return np.full((number, 3), np.nan)
    if low == high:
        return np.array([[low, high, 0.0]] * (number - 1) + [[low, high, float(flat.size)]])
    if not 1 / WIDEST < high - low < WIDEST:  # else the range of float32 values, or its inverse, may exceed float32
        flat = flat.astype(np.float64)
    places = np.minimum(((flat - low) / (high - low) * number).astype(np.int64), number - 1)
    edges = low + (high - low) / number * np.arange(number + 1)
    edges[-1] = high
    return np.stack([edges[:-1], edges[1:], np.bincount(places, minlength=number)], 1)


def hparam(value: Any) -> bool | float | str | None:
    """A value in a type that the HParams tab supports; None stays None, which it leaves empty."""
    if value is None or isinstance(value, bool):
        return value
    return float(value) if isinstance(value, int | float) else str(value)


def watched_events(folder: Path, step: int) -> Iterator[Any]:
    """The events of `folder` with histograms and `watch_` curves up to `step`; one truncated by a crash is skipped."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            # Images, of which there is one at each start, have tags without a slash.
            watched = any(re.match("watch_.*/", value.tag) for value in event.summary.value)
            if watched and event.step <= step:
                yield event


def remove_events(folder: Path) -> None:
    """Deletes the event files directly in `folder`."""
    for path in folder.glob("events.out.tfevents.*"):
        remove_file(path)


def write_scalars(folder: Path, series: dict[str, list[tuple[int, float]]]) -> None:
    """Makes `folder` a TensorBoard run that shows `series`, {tag: [(step, value), ...]}, and nothing else."""
    remove_events(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[int, dict[str, float]] = {}
    for tag, points in series.items():
        for step, value in points:
            rows.setdefault(step, {})[tag] = value
    with EventFile(folder) as events:
        for step in sorted(rows):
            events.scalars(rows[step], step)
