"""Every key of a run: its default, meaning, unit and range. Nothing outside this file supplies a default.

The rest of the lab sees plain dataclasses; Hydra fills them (`lab.overrides.compose`). Files under `configs/` hold only
what differs. What a key admits is metadata of its field (`lab.knob`), which `lab.validation` checks, `lab list keys`
prints and TAB completes; the docstring gives the meaning alone.
"""

from dataclasses import dataclass, field
from typing import Any

from lab.knob import knob

METRICS = tuple(f"val/{name}" for name in ("loss", "accuracy", "top5", "rmse", "mae", "r2")) + tuple(
    f"train/{name}" for name in ("loss", "accuracy", "rmse", "mae", "r2")
)
"""What the logged points of a run may hold; which of them depends on the data."""

DRAWN = 16
"""Points that `study.tune` draws from ranges where `study.tune_trials` is null."""


@dataclass
class DataConfig:
    name: str = knob("digits", table="data")
    """Data set that the run learns from."""

    root: str = knob("data", free="a path")
    """Folder of the data sets' files; for `folder` the folder that holds `train/<class>/` (and `test/<class>/`)."""

    limit: int | None = knob(None, low=1, unit="images")
    """Size of a random subset of the training images, drawn with the run's seed after `data.imbalance`; all of them if
    null. No more than there are."""

    val_frac: float = knob(0.2, above=0, below=1)
    """Share of the training images held out for validation. The test set is read once, at the end."""

    scale: str = knob("standard", table="scales")
    """Input scaling: `standard` (zero mean, unit variance per channel, measured on the training images), `zero_one`,
    `minus_one_one`, `positive` (unit variance, nothing below 0), or `raw` (0 to 255)."""

    classes: list[str] = knob([], free="two or more class names of the data set, each once")
    """Names of the classes to keep, in the order of their new labels; all if empty."""

    unseen: list[str] = knob([], free="class names of the data set, each once")
    """Classes of which a run gets no image to learn from or to be validated with. The test images hold them, and the
    net has an output for each: every image of them is one that it should be unsure about. Compare by `test/accuracy`
    and the like, as validation is easier without them."""

    resize: int | None = knob(None, low=1, high=8192, unit="pixels")
    """Side to which all images are resized when they are read; as they are if null."""

    augment: str = knob("none", table="augments", words=True)
    """Random changes to each training image of a step: words joined by dashes, read left to right, as
    `crop-flip-cutout`."""

    crop_frac: float = knob(0.125, above=0, high=0.5)
    """Longest shift of `crop`, each way, as a share of the image's side; at least a pixel."""

    cutout_frac: float = knob(0.5, above=0, high=1)
    """Side of the square of `cutout`, as a share of the image's shorter side; at least a pixel."""

    shuffle: str = knob("epochs", choices=("epochs", "once", "never"))
    """When the training images are put into a new random order: before each of the `epochs`, `once` before the first,
    or `never`, so that they come in the order of the data set's files."""

    shift: str = knob("none", table="shifts")
    """How the test images are distributed otherwise than those that a run learns from and is validated with, by
    `data.shift_size`."""

    shift_size: float = knob(0.5, above=-1, high=10)
    """Size of `data.shift`: added to the factor 1 of `scale`, share of the range for `brightness` and, as a standard
    deviation, `noise`, radians for `rotation`."""

    outliers: float = knob(0.0, low=0, high=1)
    """Share of the training images that are outliers: their scaled values are multiplied by `data.outlier_size`."""

    outlier_size: float = knob(100.0, above=0)
    """What the values of outliers are multiplied by."""

    label_noise: float = knob(0.0, low=0, high=1)
    """Share of the training labels replaced by another class, drawn uniformly."""

    imbalance: float = knob(1.0, above=0, high=1)
    """Images of the last class as a share of those of the first in the training set; between them the numbers fall
    exponentially (`data.classes` sets the order). 1 leaves the training set as it is."""


@dataclass
class ModelConfig:
    name: str = knob("recipe", choices=("recipe",), table=("nets", "blunders", "surfaces"))
    """`recipe` builds the net from the keys below; another name is a whole net; `package.module:function` calls the
    user's own function with `(in_shape, num_outputs)`. A surface is a function of its only parameter, a point (x, y),
    for `data=blank` and `train.loss=value`."""

    block: str = knob("conv-act-pool", table="words", own=False, words=True)
    """The recipe of one block: whole words joined by dashes, read left to right."""

    widths: list[int] = knob([16, 32], low=1, high=1_000_000, unit="channels or features")
    """Width of each stage. `pool` acts only in the last block of a stage. Empty, with `model.depth=1`: the classifier
    alone."""

    depth: int = knob(3, low=1, high=2_000, unit="layers")
    """Layers with weights on the main path, the classifier included, spread over the stages as evenly as possible. It
    has to fit the recipe: one for the classifier, the rest in whole blocks."""

    kernel: int = knob(3, low=1, high=255, unit="pixels")
    """Side of the convolutions' kernels."""

    bias: bool = True
    """Whether convolutions and linear layers inside the blocks have a bias."""

    weight_std: bool = False
    """Whether the word `conv` standardises its weights: zero mean and unit variance per filter, at every use (Qiao et
    al. 2019). Its outputs then grow with the filter's size, so a norm should follow."""

    act: str = knob("relu", table="acts")
    """Activation of the word `act`."""

    norm: str = knob("batch", table="norms")
    """Normalisation of the word `norm`."""

    pool: str = knob("max", table="pools")
    """Pooling of the word `pool`, 2x2 with stride 2."""

    drop: str = knob("dropout", table="drops")
    """Kind of the word `drop`. `dropconnect` acts on the conv or linear before it in the block."""

    drop_rate: float = knob(0.5, low=0, below=1)
    """Probability that a unit is dropped; with `spatial` a map, `dropconnect` a weight, `stochastic_depth` an example's
    whole block. With `dropblock` the share if squares did not overlap: on maps of 6x6 and more 0.1 drops 0.09 of the
    units, 0.2 drops 0.18, 0.5 drops 0.36 to 0.39, 0.8 drops 0.48 to 0.54. `gaussian` drops nothing: it multiplies by
    noise of variance rate / (1 - rate)."""

    skip: str = knob("none", table="skips")
    """What wraps every block, with a 1x1 projection where `add` or `gate` change the shape; `concat` adds the stage's
    width to the input of the block."""

    head: str = knob("flatten", table="heads")
    """What turns the last feature maps into the classifier's input: `flatten`, `gap` (global average), `gmp` (global
    maximum)."""

    output: str = knob("identity", table="acts")
    """Activation of the logits, also of auxiliary classifiers. Cross-entropy wants `identity`, as it contains the
    softmax; `softmax` and `sigmoid` are there to show what goes wrong."""

    aux_blocks: list[int] = knob([], low=1, unit="blocks before the last, each once")
    """Blocks, counted from 1 through all stages, after which an auxiliary classifier is attached for training: global
    average and a linear layer (Szegedy et al. 2015). Empty: none."""

    aux_weights: list[float] = knob([0.3], above=0)
    """Weight of the loss of each auxiliary classifier; a single number serves all."""

    init: str = knob("he_normal", table="inits")
    """Initialisation of all weights; biases start at zero, norms at the identity. `lsuv` measures the first batch of
    training images. Blunders, surfaces and a user's own nets bring their own start."""

    init_gain: str = knob("paper", choices=("paper", "auto"), above=0)
    """`paper`: the gain of the scheme's own paper; `auto`: from the activation (`nn.init.calculate_gain`); or a number.
    For `constant`, `normal`, `uniform` and `exponential` the number is the value, standard deviation, bound or mean
    itself, 0.01 for `paper`. Without effect on `lsuv`."""

    init_fan: str = knob("in", choices=("in", "out"))
    """Whose variance `he_normal` and `he_uniform` keep: `in` the activations', by the inputs of a unit; `out` the
    gradients', by the units that an input reaches."""

    head_gain: float = knob(1.0, above=0)
    """What the first weights of the classifier, and of auxiliary ones, are multiplied by."""

    draw: int = knob(0, low=0)
    """Which of the seed's draws of initial weights. Runs that differ only in it share split, order and dropout, and
    differ by chance alone."""


@dataclass
class StartConfig:
    run: str = knob("", free="a path")
    """Folder of a finished run whose weights this one starts from; of an arm, then its run of the same seed, and for a
    tuning trial the source's tuning trial of that seed if it has no run. From scratch if empty. Relative to the working
    directory."""

    source: list[str] = knob([], free="overrides, as those of lab train, in brackets")
    """Has the run to start from trained first, where it is missing, in place of `start.run`: of the same seed, from
    scratch, on the data and with the net of this run, trained as the command and the file say for all arms (neither
    what an arm has by itself nor what is swept or tuned counts) and as these overrides say: `[train.epochs=20]`."""

    load: str = knob("body", choices=("none", "body", "all"))
    """What is taken from that run: `body` (all but the module `classifier` and auxiliary heads, which start fresh),
    `all`, or `none` (from scratch, as a control beside arms that load)."""

    freeze_epochs: float | None = knob(0.0, low=0, high=1e9, unit="epochs")
    """How long the loaded body is not trained, its norms and drops in evaluation mode: 0 trains it from the first step,
    null never."""

    permute: float = knob(0.0, low=0, high=1, zero="off")
    """How far the loaded net is moved on the straight way to its copy with permuted hidden units, drawn with the run's
    seed: 1 is that copy, which is the same function; 0.5 is the mean of both, weights and statistics of norms alike."""

    prune: str = knob("none", choices=("none", "blocks", "weights"))
    """What is removed before the first step: nothing, residual blocks, or single weights."""

    prune_by: str = knob("auto", choices=("auto",), table=("block_orders", "saliencies"))
    """Which go first: for blocks a name of `lab list block_orders`, for weights one of `lab list saliencies`; `auto` is
    `smallest` and `magnitude`."""

    prune_count: int = knob(1, low=0, unit="blocks")
    """Residual blocks that `start.prune=blocks` removes, at most all that can go: those of `model.skip=add` whose
    shortcut is the identity."""

    prune_frac: float = knob(0.5, low=0, below=1)
    """Share of weights that `start.prune=weights` sets to zero for good: of all conv and linear weights together, no
    biases; the classifier's count too unless they are fresh (`start.load=body`)."""

    prune_examples: int = knob(512, low=1, unit="images")
    """Training images on which branch norms and curvature are measured; all of them if there are fewer."""


@dataclass
class OptimizerConfig:
    name: str = knob("adam", table="optimizers")
    """Optimizer that takes the steps."""

    lr: float = knob(1e-3, above=0)
    """Peak learning rate; the schedule multiplies it."""

    weight_decay: float = knob(0.0, low=0)
    """Weight decay; not applied to biases and norms. Coupled (an L2 gradient) except in `adamw`, `sign_sgd`, `lion` and
    `muon`."""

    momentum: float = knob(0.9, low=0, below=1)
    """Momentum of `momentum`, `nag` (where it is above 0) and `muon`, beta1 of the Adam family and of `lion`; the
    others have none."""


@dataclass
class ScheduleConfig:
    name: str = knob("constant", table="schedules")
    """Learning-rate schedule, a multiplier of `optimizer.lr` over the run's progress."""

    warmup_frac: float = knob(0.0, low=0, below=1, unit="share of the run")
    """How long the rate rises linearly before the schedule, which takes the rest of the run: step i of w, counted from
    0, has (i + 1) / (w + 1) of the rate, and so has epoch i of w with `schedule.interval=epochs`; none has 0. For
    `one_cycle` it is the rising share of the cycle (0.3 if left at 0); `warmup_cosine` and `noam`, at (i + 1) / w as in
    its paper, always rise (0.1 if left at 0)."""

    milestones: list[float] = knob([0.5, 0.75], above=0, below=1, unit="shares of the run")
    """Where `multistep` lowers the rate: at the first step at or past that share, a warm-up counted in (and lowered,
    where it is longer)."""

    factor: float = knob(0.1, above=0, high=1)
    """What `multistep` multiplies the rate by at each milestone, and `plateau`, for which it is below 1, when its
    metric stalls."""

    low: float = knob(0.01, above=0, high=1)
    """Multiplier at which `exponential` ends, and which the cycles of `triangular` and `triangular2` start from and
    return to."""

    power: float = knob(2.0, above=0)
    """Exponent of `poly`; 1 is `linear`."""

    cycles: int = knob(4, low=1, high=1_000_000)
    """Cycles of `cosine_restarts`, `triangular` and `triangular2` in the run."""

    interval: str = knob("steps", choices=("steps", "epochs"))
    """How often the rate changes: at all `steps`, or only as new `epochs` begin."""

    metric: str = knob("val/loss", choices=METRICS)
    """What `plateau` watches: a metric that the run logs."""

    patience: int = knob(3, low=0, unit="evaluations")
    """Evaluations (`train.eval_every`) without improvement before `plateau` lowers the rate; it acts after the next
    one."""


@dataclass
class TrainConfig:
    epochs: float = knob(10.0, low=0, high=1e9, zero="the net as it starts", unit="epochs")
    """Length of the run in passes over the training images, at least one step if above 0. Ignored if `train.steps` is
    set."""

    steps: int | None = knob(None, low=0, zero="the net as it starts", unit="steps")
    """Length of the run in optimizer steps; overrides `train.epochs`. 0 measures the net as it starts."""

    batch_size: int = knob(64, low=1, unit="images")
    """Images per step, of all processes together. The rest of an epoch that does not fill a batch is left out; every
    epoch draws a new order."""

    max_seconds: float | None = knob(None, above=0, infinite=True, unit="seconds")
    """Seconds of training after which the run ends, wherever it is; no such end if null. A run that ends by the clock
    does not repeat itself to the bit."""

    patience: int = knob(0, low=0, zero="off", unit="evaluations")
    """Early stopping: evaluations in a row without a better `train.patience_metric` after which the run ends."""

    patience_metric: str = knob("val/loss", choices=METRICS)
    """What early stopping and `train.keep_best` watch: a metric that the run logs."""

    restore_best: bool = True
    """Whether a run with early stopping ends with the weights of its best evaluation; its last point then has their
    metrics."""

    keep_best: bool = False
    """Whether to keep the weights of the best logged point by `train.patience_metric` in `best.pt`, beside those that
    the run ends with. Changes no number of the run, and makes no other arm."""

    loss: str = knob("auto", choices=("auto",), table="losses")
    """What is minimised; `auto`: `cross_entropy` for classes, `mse` for numbers. `value` is the output itself."""

    label_smoothing: float = knob(0.0, low=0, below=1)
    """Share of each label that `cross_entropy` spreads over all classes while it trains."""

    focal_gamma: float = knob(2.0, low=0)
    """Exponent of `focal`; 0 is cross-entropy."""

    penalty: str = knob("none", table="penalties")
    """What is added to the loss to keep weights small; biases and norms are left alone. Weight decay
    (`optimizer.weight_decay`) is the faster way to L2."""

    penalty_weight: float = knob(1e-4, low=0)
    """What `train.penalty` is multiplied by."""

    penalty_l1_share: float = knob(0.5, low=0, high=1)
    """Share of L1 in the penalty `elastic`; the rest is L2."""

    max_norm: float = knob(0.0, low=0, zero="off", infinite=True)
    """Largest norm of the weights into a unit, to which they are scaled down after every step."""

    eval_every: float = knob(1.0, above=0, high=1e9, unit="epochs")
    """Epochs between two logged points (training means, validation, learning rate); the last step always logs."""

    eval_limit: int | None = knob(None, low=1, unit="images")
    """Most validation and test images that an evaluation reads; all of them if null."""

    mc_passes: int = knob(0, low=0, high=1_000_000, zero="off", unit="passes")
    """Monte-Carlo passes with the drops active (Gal and Ghahramani 2016) by which a classification is tested at the
    end, besides the plain test: `test/mc_accuracy`, `test/mc_ece` and others. 1 is one pass with the drops off, for
    comparison."""

    device: str = knob("auto", choices=("auto", "cpu", "cuda", "mps"), like="cuda:0")
    """Where the run trains; `auto`: on a GPU if there is one. `cuda:0` names a GPU by its number."""

    threads: int = knob(0, low=0, high=1024, zero="automatic", unit="CPU threads")
    """CPU threads of a run; 0: all cores for a single run, one in a sweep that runs several side by side."""

    precision: str = knob("fp32", choices=("fp32", "bf16", "fp16"))
    """Arithmetic of the forward pass: `fp32`, `bf16`, or on a GPU `fp16`, with dynamic loss scaling (autocast; weights
    stay fp32; `train/skipped` is the share of steps skipped because their gradients were not finite)."""

    channels_last: bool | None = knob(None, choices=("true", "false"))
    """Whether images and convolutions lie in memory with their channels last, which rounds differently (dropout draws
    another mask). Null: where that is faster, on a CPU, and on a GPU under bf16 and fp16, without `concat`."""

    compile: bool = False
    """Whether to run the net through `torch.compile`: pays on a GPU, and on long runs. The compilation, at the first
    step and the first evaluation, counts as training time."""

    graph: str = knob("off", choices=("auto", "on", "off"))
    """Whether to record the step as a CUDA graph and replay it, without waiting for Python: `on`, `off`, or `auto`, on
    where possible: on one GPU, with sgd, momentum, nag, adam or adamw, without fp16, compilation, thawing or a user's
    own parts. The rate is rounded to fp32 there. Not run on a GPU yet, and therefore off by default."""

    clip: str = knob("norm", table="clips")
    """How the gradient is clipped: `norm` acts where `train.clip_norm` is above 0, `value` cuts at `train.clip_value`,
    `sign` keeps the signs alone, `none` does nothing."""

    clip_norm: float = knob(0.0, low=0, zero="off", infinite=True)
    """Largest global norm of the gradient under `train.clip=norm`, above which it is scaled down."""

    clip_value: float = knob(1.0, above=0, infinite=True)
    """Largest absolute value of an entry of the gradient under `train.clip=value`."""

    checkpoint_every: float = knob(60.0, low=0, infinite=True, unit="seconds")
    """Time between two checkpoints; 0: at every step."""

    watch: bool = False
    """Whether to write histograms of weights, gradients and activations to TensorBoard, each layer's dead units,
    saturated values, gradient norm and update, and the graph of the net; a net that is dying is noted, once. Without
    `train.watch_steps` each logged point has `train/dead_units`, `train/saturated` and `train/gradient_norm`, of all
    layers, and `train/gradient_ratio` and `train/learning_ratio`, first layer over last, which can be compared."""

    watch_steps: list[int] = knob([], low=1, unit="steps")
    """Steps after which `train.watch` writes; at every logged point if empty."""

    watch_smoothness: bool = False
    """Whether `train.watch` also measures how smooth the loss is along a step, as `train/gradient_change` and
    `train/loss_change` of each logged point; takes two more passes through its batch."""

    pictures: int = knob(24, low=0, zero="none", unit="images")
    """Images that TensorBoard shows of the first batch, as the net sees it, and of the worst mistakes of the validation
    at the end."""


@dataclass
class StudyConfig:
    question: str = knob("", free="any text")
    """What the experiment asks, in one sentence."""

    source: str = knob("", free="any text")
    """Where the prediction comes from: paper, section or figure."""

    metric: str = knob("auto", free="auto, a metric of the runs, or a summary of one")
    """What is compared: the last value of a metric of the runs, `best(val/accuracy)`, `first(...)`,
    `mean(val/accuracy, 5)` of the last five, `auc(val/accuracy)` (area under the curve), `gap(accuracy)` (by how much
    val is worse than train at the end), `turns(train/x)` (how often it turned round), `rise(val/loss)` (the sum of its
    rises), `steps_to(val/accuracy >= 0.8)` or `seconds_to(...)`, or the share of runs that train, `trains(val/accuracy
    >= 0.8)`; `log10(...)` of a value, for what differs by factors. A claim may name its own. `auto`: `val/accuracy`,
    `val/rmse` where numbers are predicted, or `val/loss` where neither is."""

    trained: str = knob("", free="a condition, as val/accuracy >= 0.5, or nothing")
    """When a run counts as trained, by its last value. Where some seeds do not train, scores are compared among those
    that do, and how many do is said. Empty: an accuracy has to exceed that of the commonest class by a tenth of what is
    left to 1, at most twice it; by any other metric a run fails only by diverging."""

    reference: Any = knob({}, free="keys with values")
    """The arm that the others are compared with, as `{model.act: tanh}`, or the name of one; of several that fit, the
    one most like the other arm; the first arm of the sweep if empty."""

    arms: Any = knob({}, free="names, each with keys and values")
    """Named arms, each a set of overrides, a choice of files as `optimizer: adam` among them: `{before: {model.block:
    conv-norm-act}, after: {model.block: conv-act-norm}}`. They are crossed with what is swept. A number may be a
    formula of other keys: `optimizer.lr: 0.001 * train.batch_size / 64`."""

    exclude: list[Any] = knob([], free="a list of keys with values")
    """Combinations of arms and swept keys that are left out, as `[{arm: scaled, train.batch_size: 64}]`."""

    claims: list[Any] = knob([], free="a list of claims")
    """What is claimed, written before the first run: `say`, and one of `higher|lower ... than ... by`, `same: [a, b]
    within`, `ordered: [a, b, c] by` (each higher than the next) and `interaction: [a, b] between: [c, d] by` (a minus b
    is higher at c than at d); `where` restricts all sides, `metric` is the claim's own. A side is keys with values, or
    the name of an arm of `study.arms`."""

    max_seeds: int = knob(20, low=3, high=200, unit="seeds")
    """Most seeds that `seeds=auto` gives an arm. It sets the thresholds of its analyses, and so stays as it is at an
    experiment's first one."""

    budget: str = knob("", free="empty, or a time as 90 (seconds), 20m or 2h")
    """Wall-clock time of a command with `seeds=auto`, which starts no further seeds that would take longer; empty for
    no limit. The same command goes on, with the whole budget again."""

    tune: Any = knob(None, free="keys with lists of values or ranges, or null")
    """Nuisance keys with the values to try: lists of two or more, or ranges, `log(low, high)` and `uniform(low, high)`:
    `{optimizer.lr: log(1e-4, 1), optimizer.weight_decay: [0, 1e-4]}`. Lists alone form the full grid; from ranges
    points are drawn, the same for every arm. Every arm tries all of them on separate seeds, and is compared at the
    values that are best in validation."""

    tune_trials: int | None = knob(None, low=2, high=1000, unit="points")
    """Points that each arm tries, drawn from the ranges and lists of `study.tune`; a larger number adds to them. Null:
    16 where there is a range, else the full grid."""

    tune_widen: int = knob(0, low=0, zero="never", high=10, unit="times")
    """How often ranges are widened where an arm is best near an end: each time every arm tries half as many further
    points beyond."""

    tune_seeds: int = knob(1, low=1, unit="seeds")
    """Seeds that each of these points is tried with: from 1,000,000 on, which no comparison uses. Tuning noise cannot
    bias the comparison, which uses other seeds; more of them pick a better value."""


@dataclass
class LintConfig:
    sweeps: bool = True
    """Whether a sweep is checked before its first run (`lint=off`: not): arms that are one function or will not train,
    what else they differ in, and what its seeds can decide."""

    ignore: list[str] = knob([], table="rules", own=False)
    """Codes of rules that do not apply, in `lab lint` and before a sweep."""


@dataclass
class OnConfig:
    name: str = knob("local", choices=("local", "slurm", "ray"))
    """Where the runs of a sweep are trained: in processes of this machine, or as tasks of a cluster that shares the
    folder of outputs."""

    partition: str = knob("", free="a partition of Slurm, or nothing for its default")
    """Partition of Slurm that the tasks are submitted to."""

    account: str = knob("", free="an account of Slurm, or nothing for its default")
    """Account that Slurm charges."""

    constraint: str = knob("", free="features of nodes, as Slurm takes them, or nothing")
    """Features that a node needs to have, as `a100` or `a100|h100`."""

    time: int | None = knob(None, low=1, high=525_600, unit="minutes")
    """Time limit of a task in Slurm; that of the partition if null. A task that is warned of it writes a checkpoint,
    and goes on in a new turn."""

    memory: float | None = knob(None, above=0, high=1e6, unit="GiB")
    """Memory of a task in Slurm; what the partition gives if null."""

    cpus: int = knob(1, low=1, high=1024, unit="CPU cores")
    """Cores of a task, and CPU threads of its runs unless `train.threads` says otherwise."""

    gpus: float = knob(0.0, low=0, high=1024, zero="none", unit="GPUs")
    """GPUs of a task; in Ray a fraction lets several tasks share one."""

    array_limit: int = knob(0, low=0, high=100_000, zero="no limit", unit="tasks")
    """Most tasks of a batch that Slurm runs at a time."""

    runs_a_job: int = knob(1, low=1, high=10_000, unit="runs")
    """Runs that a task trains, one after another: several where runs are short, as each task imports torch first."""

    setup: list[str] = knob([], free="lines of a shell, as ['module load cuda']")
    """Lines of bash that a task of Slurm runs first."""

    address: str = knob("auto", free="auto, or the address of a Ray cluster")
    """The Ray cluster: `host:6379`, `ray://host:10001`, or `auto`, the one that this machine belongs to."""


@dataclass
class RunConfig:
    data: DataConfig = field(default_factory=DataConfig)
    """What is learnt from: the images, their split and their scaling."""

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

    lint: LintConfig = field(default_factory=LintConfig)
    """What is checked before anything trains; it does not change a run."""

    on: OnConfig = field(default_factory=OnConfig)
    """Where the runs of a sweep are trained; it does not change a run."""

    arm: str = knob("", free="names of study.arms")
    """Which of `study.arms` the run is; all of them if it is not given. It does not change a run by itself."""

    name: str = knob("scratch", free="any text")
    """Where results go: `<out>/<name>/`."""

    out: str = knob("outputs", free="a path")
    """Folder of all results, relative to the working directory."""

    seed: int = knob(0, low=0)
    """Seed of the run. Split, initialisation, order and dropout each have a generator derived from it."""

    force: bool = False
    """Start over what is finished, instead of leaving it alone."""

    jobs: int = knob(0, low=0, zero="automatic", unit="runs")
    """Runs side by side in a sweep; 0: one for each CPU core, or for each GPU if GPUs are used. More than there are
    GPUs share them evenly."""
