"""The table of arms as Markdown, rounded from the committed `table.csv`."""

from lab.studies.notebook.committed import Results, estimate_of, number
from lab.studies.notebook.texts import plain
from lab.studies.report.formats import markdown_table
from lab.studies.report.table import NUMBERS
from lab.studies.select.selectors import short_keys
from lab.studies.statistics.numerals import center_text, decimals, fixed, interval_text


def arms_table(results: Results) -> list[str]:
    """The lines of the table: a row an arm, columns as those of the report."""
    table = arms_columns(results)
    rows = [[plain(cell) for cell in row] for row in zip(*table.values(), strict=True)]
    return markdown_table(list(table), rows, [name in NUMBERS for name in table])


def arms_columns(results: Results) -> dict[str, list[str]]:
    """The cells by column, each a text for every arm."""
    facts, rows = results.facts, results.rows
    short = short_keys([*facts["keys"], *facts["tuned"]])
    table = {short[key]: [row.get(key, "-") for row in rows] for key in facts["keys"]}
    if not table:
        table["arm"] = [*facts["labels"]]
    table |= {f"tuned {short[key]}": [row.get(key, "-") for row in rows] for key in facts["tuned"]}
    table["n"] = [row["n"] for row in rows]
    run = [int(row["n"]) if not row["scores"] else len(row["scores"].split()) for row in rows]
    if any(int(row["num_trained"]) < total for row, total in zip(rows, run, strict=True)):
        table["trained"] = [f"{row['num_trained']}/{total}" for row, total in zip(rows, run, strict=True)]
    for name in ("diverged", "failed", "interrupted"):
        if any(row[f"num_{name}"] not in ("", "0") for row in rows):
            table[name] = [row[f"num_{name}"] for row in rows]
    means, tests, apart = ([estimate_of(row, name) for row in rows] for name in ("mean", "test", "difference"))
    places = decimals(means)
    table["mean"] = [center_text(one, places) for one in means]
    table["95 % interval"] = [interval_text(one, places) for one in means]
    if any(tests):
        table["test"] = [center_text(one, places) for one in tests]
    if len(rows) > 1:
        places, firsts = decimals(apart), [row["is_reference"] == "True" for row in rows]
        table["difference"] = [
            "reference" if first else center_text(one, places, sign=True)
            for first, one in zip(firsts, apart, strict=True)
        ]
        table["95 % of difference"] = [
            "" if first else interval_text(one, places, sign=True) for first, one in zip(firsts, apart, strict=True)
        ]
    table["images/s"] = [fixed(number(row["images_per_second"]), 0) for row in rows]
    table["parameters"] = [fixed(number(row["num_params"]), 0) for row in rows]
    return table
