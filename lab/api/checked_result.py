"""What `lab.lint` and `lab.probe` find, as objects."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.api.shown import line_html, number, table_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from lab.checks.lint.finding import Said
    from lab.checks.probe.profile import Profile


@dataclass(frozen=True)
class LintFinding:
    """One fault at one place."""

    severity: str
    """`error`, `warning` or `note`."""

    code: str
    """Of the rule; `lab list rules` lists them."""

    layer: str
    """Dotted name of the layer; empty of the whole net, of its training or of a comparison."""

    what: str
    fix: str
    """What to change; empty where the sentence says it."""

    repair: tuple[str, ...]
    """Overrides that repair it, where there are any."""

    why: str
    """The reason and its source."""


class Findings(tuple[LintFinding, ...]):
    """What `lab.lint` found, worst first; empty where nothing is wrong."""

    @property
    def worst(self) -> str:
        """The worst severity; empty if nothing was found."""
        return self[0].severity if self else ""

    def _repr_html_(self) -> str:
        rows = [(one.severity, one.code, one.layer, one.what, one.fix) for one in self]
        return table_html(["severity", "rule", "layer", "what", "fix"], rows) if rows else line_html("nothing found")


def as_findings(said: "Iterable[Said]") -> Findings:
    """Findings of the rules as objects."""
    return Findings(
        LintFinding(
            severity=one.severity,
            code=one.rule.code,
            layer=one.finding.layer,
            what=one.finding.what,
            fix=one.finding.fix,
            repair=one.finding.repair,
            why=one.rule.why,
        )
        for one in said
    )


@dataclass(frozen=True, eq=False, repr=False)
class ProbeResult:
    """Nets at their start, layer by layer."""

    profiles: "Sequence[Profile]"
    """All that was found, with the values of every draw."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a layer: mean square of its results and of the gradient there, predicted and measured (mean over
        draws), the share of idle units, and the first update over the weight; None where there is none."""
        return [layer_row(profile, row) for profile in self.profiles for row in profile.rows]

    @property
    def losses(self) -> dict[str, float]:
        """The loss at the start of each configuration, mean over draws."""
        return {profile.label: sum(profile.loss) / len(profile.loss) for profile in self.profiles}

    def frame(self) -> "DataFrame":
        """`rows` as a pandas data frame.

        Raises:
            UserError: pandas is not installed.
        """
        from lab.studies.select.frame import as_frame

        return as_frame(self.rows)

    def figure(self) -> "Figure":
        """Signals and gradients over depth: predictions as lines, measurements as dots."""
        from lab.api.shown_figure import shown
        from lab.checks.probe.files import draw_profiles

        return shown(draw_profiles(self.profiles))

    def __str__(self) -> str:
        from lab.checks.probe.render import as_text

        return as_text(self.profiles)

    def __repr__(self) -> str:
        return f"<probe of {', '.join(self.losses)}: {len(self.rows)} layers>"

    def _repr_html_(self) -> str:
        rows = [[value if isinstance(value, str) else number(value) for value in row.values()] for row in self.rows]
        return table_html(list(self.rows[0]), rows) if rows else line_html("no layers")


def layer_row(profile: "Profile", row: Any) -> dict[str, Any]:
    """One layer as a row."""
    from lab.checks.probe.render import mean

    return {
        "configuration": profile.label,
        "layer": row.layer,
        "kind": row.kind,
        "signal_predicted": row.moment.predicted,
        "signal": mean(row.moment.measured),
        "gradient_predicted": row.gradient.predicted,
        "gradient": mean(row.gradient.measured),
        "idle": mean(row.idle),
        "update_over_weight": mean(row.updates),
    }
