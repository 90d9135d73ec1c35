"""`start.source`: the run that is trained first, for another to start from, as overrides say."""

from collections.abc import Mapping

from lab.config import RunConfig, StartConfig, StudyConfig
from lab.errors import UserError, refuse
from lab.identity import ARM, identity
from lab.overrides.compose import Composer
from lab.overrides.named_arms import read_single
from lab.overrides.words import Files, split_picks
from lab.records.sources import OWN, as_words, section
from lab.validation import complaints


def read_source(
    config: RunConfig, texts: Mapping[str, str], fixed: Mapping[str, str], files: Files, composer: Composer
) -> RunConfig | None:
    """The configuration of the run that a run of `config` starts from; None where none is trained for it.

    `start.source` of `config` then holds what differs from the run and from the defaults, however it was typed.

    Args:
        config: of one run, whose `start.source` is as typed.
        texts: the overrides typed for it, its arm and what is swept included.
        fixed: those that are typed for all runs.
        files: what there is to choose.
        composer: of the primary configuration.

    Raises:
        UserError: an override is wrong, or sets what makes no source.
    """
    start = config.start
    if not start.source:
        return None
    if start.run:
        raise UserError(f"start.run={start.run} and start.source={start.source}: a run starts from one other; give one")
    try:
        words = dict(read_single(text, files, "start.source", ["data.root"]) for text in start.source)
    except UserError as error:
        raise UserError(f"start.source: {error}") from None
    refuse(f"start.source: {key}: a source starts from scratch" for key in words if key.startswith("start."))
    own = {key: text for key, text in texts.items() if section(key) in OWN}
    every = {**fixed, **own, **words}
    source = composer(*split_picks({key: every[key] for key in every if key != ARM and not key.startswith("start.")}))
    source.start, source.study = StartConfig(), StudyConfig()
    refuse(f"start.source: {complaint}" for complaint in complaints(source))
    if "data.root" in words and "data.root" not in identity(source):
        raise UserError("start.source: data.root is that of the runs, unless it is the data set, as of data=folder")
    length = "train.epochs" if source.train.steps is None else "train.steps"
    if not (source.train.steps if source.train.steps is not None else source.train.epochs):
        raise UserError(f"start.source: with {length}=0 it is not trained; give it a {length} above 0")
    start.source = as_words(source, words)
    return source
