"""Every knob of a run: its default, meaning, unit and range. Nothing outside this file supplies a default.

The rest of the lab sees plain dataclasses; Hydra fills them (`lab.cli.train`). Files under `configs/` hold only what
differs.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class DataConfig:
    name: str = "digits"
    """Data set: a name from `lab list data`, or a user's own `package.module:attribute`."""

    root: str = "data"
    """Folder of the data sets' files; for `folder` the folder that holds `train/<class>/` (and `test/<class>/`)."""

    limit: int | None = None
    """Size of a random subset of the training pictures, drawn with the run's seed after `data.imbalance`; all of them
    if unset."""

    val_frac: float = 0.2
    """Share of the training pictures held out for validation, in (0, 1). The test set is read once, at the end."""

    scale: str = "standard"
    """Input scaling (`lab list scales`): `standard` (zero mean, unit variance a channel, measured on the training
    pictures), `zero_one`, `minus_one_one`, `positive` (unit variance, nothing below 0), or `raw` (0 to 255)."""

    classes: list[str] = field(default_factory=list)
    """Names of the classes to keep, in the order of their new labels, two or more; all if empty."""

    resize: int | None = None
    """Side to which all pictures are brought when they are read, in pixels, at least 1; as they are if unset."""

    augment: str = "none"
    """What is done at random to each training picture of a step: words joined by dashes, read left to right (`lab list
    augments`), as `crop-flip-cutout`."""

    crop_frac: float = 0.125
    """Longest shift of `crop`, each way, as a share of the picture's side, above 0 and at most 0.5; at least a pixel.
    """

    cutout_frac: float = 0.5
    """Side of the square of `cutout`, as a share of the picture's shorter side, in (0, 1]; at least a pixel."""

    label_noise: float = 0.0
    """Share of the training labels replaced by another class, drawn uniformly, in [0, 1]."""

    imbalance: float = 1.0
    """Pictures of the last class as a share of those of the first in the training set, in (0, 1]; between them the
    numbers fall exponentially (`data.classes` sets the order). 1 leaves the training set as it is."""


@dataclass
class ModelConfig:
    name: str = "recipe"
    """`recipe` builds the net from the keys below; a name of `lab list nets` or `lab list blunders` is a whole
    net; `package.module:function` calls the user's own function with `(in_shape, num_outputs)`."""

    block: str = "conv-act-pool"
    """The recipe of one block: whole words joined by dashes, read left to right (`lab list words`)."""

    widths: list[int] = field(default_factory=lambda: [16, 32])
    """Channels (or features) of each stage. `pool` acts only in the last block of a stage. Empty, with
    `model.depth=1`: the classifier alone."""

    depth: int = 3
    """Layers with weights on the main path, the classifier included, spread over the stages as evenly as can be."""

    kernel: int = 3
    """Side of the convolutions' kernels, in pixels, at least 1."""

    bias: bool = True
    """Whether convolutions and linear layers inside the blocks have a bias."""

    weight_std: bool = False
    """Whether the word `conv` standardises its weights: zero mean and unit variance a filter, at every use (Qiao et al.
    2019). Its outputs then grow with the filter's size, so a norm should follow."""

    act: str = "relu"
    """Activation of the word `act` (`lab list acts`)."""

    norm: str = "batch"
    """Normalisation of the word `norm` (`lab list norms`)."""

    pool: str = "max"
    """Pooling of the word `pool`, 2x2 with stride 2 (`lab list pools`)."""

    drop: str = "dropout"
    """Kind of the word `drop` (`lab list drops`). `dropconnect` acts on the conv or linear before it in the block."""

    drop_rate: float = 0.5
    """Probability of dropping, in [0, 1)."""

    skip: str = "none"
    """What wraps every block (`lab list skips`), with a 1x1 projection where `add` or `gate` change the shape; `concat`
    adds the stage's width to what reaches the block."""

    head: str = "flatten"
    """What turns the last feature maps into the classifier's input: `flatten`, `gap` (global average), `gmp` (global
    maximum); `lab list heads`."""

    output: str = "identity"
    """Activation of the logits (`lab list acts`), also of auxiliary classifiers. Cross-entropy wants `identity`, as it
    holds the softmax itself; `softmax` and `sigmoid` are there to show what goes wrong."""

    aux_blocks: list[int] = field(default_factory=list)
    """Blocks, counted from 1 through all stages, after which an auxiliary classifier is attached for training: global
    average and a linear layer (Szegedy et al. 2015). Any but the last; empty: none."""

    aux_weights: list[float] = field(default_factory=lambda: [0.3])
    """Weight of the loss of each auxiliary classifier, above 0; a single number serves all."""

    init: str = "he_normal"
    """Initialisation of all weights (`lab list inits`); biases start at zero, norms at the identity. `lsuv` looks at
    the first batch of training pictures. Blunders and a user's own nets bring their own start."""

    init_gain: str = "paper"
    """`paper`: the gain of the scheme's own paper; `auto`: from the activation (`nn.init.calculate_gain`); a number
    above 0. For `constant`, `normal`, `uniform` and `exponential` the number is the value, standard deviation, bound or
    mean itself, 0.01 for `paper`. Without effect on `lsuv`."""

    init_fan: str = "in"
    """Whose variance `he_normal` and `he_uniform` keep: `in` the activations', by the inputs of a unit; `out` the
    gradients', by the units that an input reaches."""

    draw: int = 0
    """Which of the seed's draws of initial weights, at least 0. Runs that differ in it alone have split, order and
    dropout in common and differ by chance alone."""


@dataclass
class StartConfig:
    run: str = ""
    """Folder of a finished run whose weights this one starts from; of an arm, then its run of the same seed, and for a
    trial of `study.tune` its own trial of that seed if it has no run. From scratch if empty. Relative to where the
    command is typed."""

    load: str = "body"
    """What is taken from `start.run`: `body` (all but the module `classifier` and auxiliary heads, which start fresh),
    `all`, or `none` (from scratch, as a control beside arms that load)."""

    freeze_epochs: float | None = 0.0
    """Epochs, at least 0, over which the loaded body is not trained, its norms and drops in evaluation mode: 0 trains
    it from the first step, null never."""

    prune: str = "none"
    """What is taken out before the first step: `none`, residual `blocks`, or single `weights`."""

    prune_by: str = "auto"
    """Which go first: for blocks a name of `lab list block_orders`, for weights one of `lab list saliencies`; `auto` is
    `smallest` and `magnitude`."""

    prune_count: int = 1
    """Residual blocks that `start.prune=blocks` takes out, from 0 to all that can go: those of `model.skip=add` whose
    shortcut is the identity."""

    prune_frac: float = 0.5
    """Share of weights that `start.prune=weights` sets to zero for good, in [0, 1): of all conv and linear weights
    together, no biases; the classifier's count too unless they are fresh (`start.load=body`)."""

    prune_examples: int = 512
    """Training pictures on which branch norms and curvature are measured, at least 1; all of them if there are fewer.
    """


@dataclass
class OptimizerConfig:
    name: str = "adam"
    """Optimizer (`lab list optimizers`)."""

    lr: float = 1e-3
    """Peak learning rate, above 0; the schedule multiplies it."""

    weight_decay: float = 0.0
    """Weight decay, at least 0; not applied to biases and norms. Coupled (an L2 gradient) except in `adamw`,
    `sign_sgd`, `lion` and `muon`."""

    momentum: float = 0.9
    """Momentum of `momentum`, `nag` and `muon`, beta1 of the Adam family and of `lion`, in [0, 1); the others have
    none."""


@dataclass
class ScheduleConfig:
    name: str = "constant"
    """Learning-rate schedule (`lab list schedules`), a multiplier of `optimizer.lr` over the run's progress."""

    warmup_frac: float = 0.0
    """Share of the run over which the rate rises linearly from 0 before the schedule starts, in [0, 1). For `one_cycle`
    it is the rising share of the cycle (0.3 if left at 0); `noam` and `warmup_cosine` always rise (0.1 if left at 0).
    """

    milestones: list[float] = field(default_factory=lambda: [0.5, 0.75])
    """Where `multistep` lowers the rate: shares of the run, each in (0, 1)."""

    factor: float = 0.1
    """What `multistep` multiplies the rate with at each milestone, and `plateau` when its metric stalls, in (0, 1]."""

    low: float = 0.01
    """Where `exponential` ends, and what the cycles of `triangular` and `triangular2` start from and return to: a
    multiplier in (0, 1]."""

    power: float = 2.0
    """Exponent of `poly`, above 0; 1 is `linear`."""

    cycles: int = 4
    """Cycles of `cosine_restarts`, `triangular` and `triangular2` in the run, at least 1."""

    interval: str = "steps"
    """How often the rate changes: at all `steps`, or only as new `epochs` begin."""

    metric: str = "val/loss"
    """What `plateau` watches: a metric of the reports."""

    patience: int = 3
    """Reports (`train.eval_every`) without improvement that `plateau` bears, at least 0; it acts after the next one."""


@dataclass
class TrainConfig:
    epochs: float = 10.0
    """Length of the run in passes over the training pictures, above 0. Ignored where `train.steps` is set."""

    steps: int | None = None
    """Length of the run in optimizer steps, at least 0; overrides `train.epochs`. 0 measures the net as it starts."""

    batch_size: int = 64
    """Pictures a step, of all processes together. The rest of an epoch that does not fill a batch is left out; every
    epoch draws a new order."""

    max_seconds: float | None = None
    """Seconds of training after which the run ends, wherever it is; no such end if unset. Above 0. A run that ends by
    the clock does not repeat itself to the bit."""

    patience: int = 0
    """Early stopping: reports in a row without a better `train.patience_metric` after which the run ends; 0: off."""

    patience_metric: str = "val/loss"
    """What early stopping watches: a metric of the reports."""

    restore_best: bool = True
    """Whether a run with early stopping ends with the weights of its best report; its last point then tells theirs."""

    loss: str = "auto"
    """What is minimised (`lab list losses`); `auto`: `cross_entropy` for classes, `mse` for numbers."""

    label_smoothing: float = 0.0
    """Share of each label that `cross_entropy` spreads over all classes while it trains, in [0, 1)."""

    focal_gamma: float = 2.0
    """Exponent of `focal`, at least 0, which is cross-entropy."""

    penalty: str = "none"
    """What is added to the loss to keep weights small (`lab list penalties`); biases and norms are left alone. Weight
    decay (`optimizer.weight_decay`) is the faster way to L2."""

    penalty_weight: float = 1e-4
    """What `train.penalty` is multiplied with, at least 0."""

    penalty_l1_share: float = 0.5
    """Share of L1 in the penalty `elastic`, in [0, 1]; the rest is L2."""

    max_norm: float = 0.0
    """Largest norm of the weights into a unit, to which they are scaled down after every step; 0 turns that off."""

    eval_every: float = 1.0
    """Epochs between two logged points (training means, validation, learning rate); the last step always logs."""

    eval_limit: int | None = None
    """Most validation and test pictures that an evaluation reads; all of them if unset."""

    device: str = "auto"
    """`auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, `mps`."""

    threads: int = 0
    """CPU threads of a run; 0: all cores for a run by itself, one in a sweep that runs several side by side."""

    precision: str = "fp32"
    """Arithmetic of the forward pass: `fp32`, `bf16`, or on a GPU `fp16`, with dynamic loss scaling (autocast; weights
    stay fp32; `train/skipped` tells the share of steps whose gradients were not finite, which are left out)."""

    channels_last: bool | None = None
    """Whether pictures and convolutions lie in memory with their channels last, which rounds differently (dropout draws
    another mask). Unset: where that is faster, on a CPU, and on a GPU under bf16 and fp16, without `concat`."""

    compile: bool = False
    """Whether to run the net through `torch.compile`: pays on a GPU, and on long runs. The compilation, at the first
    step and the first evaluation, counts as training time."""

    graph: str = "off"
    """Whether to record the step as a CUDA graph and replay it, without waiting for Python: `on`, `off`, or `auto`, on
    where it can be: on one GPU, with sgd, momentum, nag, adam or adamw, without fp16, compilation, thawing or parts of
    one's own. The rate is rounded to fp32 there. Not run on a GPU yet, and therefore off unless asked for."""

    clip: str = "norm"
    """How the gradient is clipped (`lab list clips`): `norm` acts where `train.clip_norm` is above 0, `value` cuts at
    `train.clip_value`, `sign` keeps the signs alone, `none` does nothing."""

    clip_norm: float = 0.0
    """Largest global norm of the gradient under `train.clip=norm`, above which it is scaled down; 0 turns that off."""

    clip_value: float = 1.0
    """Largest absolute value of an entry of the gradient under `train.clip=value`, above 0."""

    checkpoint_every: float = 60.0
    """Seconds between two checkpoints, at least 0 (0: at every step)."""

    watch: bool = False
    """Whether to write histograms of weights, gradients and activations to TensorBoard, and the graph of the net."""

    watch_steps: list[int] = field(default_factory=list)
    """Steps after which `train.watch` writes histograms, each 1 or more; at every logged point if empty."""

    pictures: int = 24
    """Pictures that TensorBoard shows of the first batch, as the net sees it, and of the worst mistakes of the
    validation at the end; 0: none."""


@dataclass
class StudyConfig:
    question: str = ""
    """What the experiment asks, in one sentence."""

    source: str = ""
    """Where the prediction comes from: paper, section or figure."""

    metric: str = "auto"
    """What is compared: the last value of a metric of the runs, `best(val/accuracy)`, `mean(val/accuracy, 5)` of the
    last five, `auc(val/accuracy)` (area under the curve), `gap(accuracy)` (by how much val is worse than train at the
    end), `steps_to(val/accuracy >= 0.8)` or `seconds_to(...)`; a claim may name its own. `auto`: `val/accuracy`, or
    `val/rmse` where numbers are predicted."""

    reference: Any = field(default_factory=dict)
    """The arm that the others are compared with, as `{model.act: tanh}`; of several that fit, the one most like the
    other arm; the first arm of the sweep if empty."""

    claims: list[Any] = field(default_factory=list)
    """What is claimed, written before the first run: `say`, and one of `higher|lower ... than ... by`, `same: [a, b]
    within`, `ordered: [a, b, c] by` (each higher than the next) and `interaction: [a, b] between: [c, d] by` (a minus b
    is higher at c than at d); `where` restricts all sides, `metric` is the claim's own."""

    tune: Any = None
    """Nuisance keys with the values to try, two or more each: `{optimizer.lr: [0.01, 0.03, 0.1]}`; of several keys the
    full grid. Every arm tries all of them on seeds of their own, and is compared at what is best in validation."""

    tune_seeds: int = 1
    """Seeds, at least 1, that each of these values is tried with: from 1,000,000 on, which no comparison uses. Whatever
    chance picks, the comparison is on other seeds; more of them pick a better value."""


@dataclass
class RunConfig:
    data: DataConfig = field(default_factory=DataConfig)
    """What is learnt from: the pictures, their split and their scaling."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The network and its initialisation."""

    start: StartConfig = field(default_factory=StartConfig)
    """Which weights it starts from instead, and what is pruned of them."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How the gradient becomes a step."""

    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """How the learning rate changes over the run."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """How long, on what, and how it is recorded."""

    study: StudyConfig = field(default_factory=StudyConfig)
    """What an experiment asks and claims; it does not change a run."""

    name: str = "scratch"
    """Where results go: `<out>/<name>/`."""

    out: str = "outputs"
    """Folder of all results, relative to where the command is typed."""

    seed: int = 0
    """Seed of the run, at least 0. Split, initialisation, order and dropout each have a generator derived from it."""

    force: bool = False
    """Start over what is finished, instead of leaving it alone."""

    jobs: int = 0
    """Runs side by side in a sweep; 0: one for each CPU core, one where a GPU is used."""


def config_dir() -> Path:
    """The folder of YAML files: inside the package when installed from a wheel, beside it in a clone."""
    inside = Path(__file__).parent / "configs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "configs"
