"""The Streamlit page, which runs from top to bottom at each click; slow results are cached."""

import json
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import streamlit as st
from matplotlib.figure import Figure

from services.explain import bias, forms, importance, local, parts, parts_page, words
from services.explain.figures import draw
from services.explain.importance import Attributions
from services.explain.subject import Subject, catalogue, load, mixing, read
from slipway.contract import Record
from slipway.explain import NotExplainable, Shapley
from slipway.explain.ways import Way
from slipway.reporting import plots

SENTENCES, SHOWN = 5, 12
NO_ROWS = (
    "No test rows of this version are kept: it was registered without them, or its records hold "
    "pictures, sound or video, of which only facts are kept."
)
PAGES = ("The model", "What matters", "One field", "One prediction", "Fairness")


@st.cache_resource(max_entries=8, show_spinner="Reading the version from the registry")
def cached_subject(name: str, version: str) -> Subject:
    return load(name, version)


@st.cache_resource(max_entries=16, show_spinner="Predicting many rows")
def cached_attributions(name: str, version: str, number: str, rows: int) -> Attributions:
    subject = cached_subject(name, version)
    return importance.attributions(subject.model, number, subject.background, subject.records(rows))


@st.cache_resource(max_entries=16, show_spinner=False)
def cached_shapley(name: str, version: str, number: str) -> Shapley:
    subject = cached_subject(name, version)
    return importance.shapley_of(subject.model, number, subject.background)


def main() -> None:
    st.set_page_config(page_title="Slipway: explanations", layout="wide")
    versions = catalogue()
    if not versions:
        st.info("The registry has no model yet. `make up`, or `slipway repro titanic`, makes one.")
        return
    with st.sidebar:
        name = st.selectbox("Project", list(versions), key="project", bind="query-params")
        version = st.selectbox("Version (the champion first)", versions[name], key="version")
        page = st.radio("Page", PAGES, key="page", bind="query-params")
    try:
        subject = cached_subject(name, version)
    except Exception as error:
        st.error(f"{name} v{version} cannot be read: {error}")
        return
    st.title(f"{name} v{version}")
    if page == "The model":
        show_model(subject)
    elif page == "Fairness":
        show_fairness(subject)
    elif subject.way in (Way.PICTURE, Way.WORDS):
        try:
            parts_page.show(subject, page)
        except NotExplainable as error:
            st.warning(f"This cannot be shown: {error}")
    elif not subject.numbers:
        st.warning(nothing_to_divide(subject))
    elif not subject.rows:
        st.warning(NO_ROWS)
    else:
        with st.sidebar:
            number = st.selectbox("Number of the prediction", subject.numbers, key="number")
            rows = st.slider("Test rows", 20, 300, importance.ROWS, step=20, key="rows")
        show = {
            "What matters": show_importance,
            "One field": show_dependence,
            "One prediction": show_prediction,
        }
        try:
            show[page](subject, number, rows)
        except NotExplainable as error:
            st.warning(f"This cannot be shown: {error}")


def nothing_to_divide(subject: Subject) -> str:
    fields = ", ".join(subject.model.output_type().model_fields)
    return (
        f"{subject.name} predicts no single number ({fields}), so there is nothing to divide among "
        "the fields of a record: no importance, no SHAP, no LIME, no dependence. Its card and its "
        "examples are on the first page."
    )


def show_model(subject: Subject) -> None:
    st.markdown(subject.card)
    st.subheader("Examples")
    for example in subject.examples:
        left, right = st.columns(2)
        with left:
            parts_page.show_example(
                example["input"], read(subject.model.input_type(), example["input"])
            )
        right.json(parts.without_media(example["output"]), expanded=2)


def show_importance(subject: Subject, number: str, rows: int) -> None:
    found, share = (
        cached_attributions(subject.name, subject.version, number, rows),
        subject.is_share(number),
    )
    if len(found.fields) == 1:
        st.info(
            f"A record is one field, {found.fields[0]}: all that changes the prediction is in it."
        )
    st.subheader("In words")
    for field, _, _ in found.importance()[:SENTENCES]:
        contrast = importance.contrast(subject.model, number, found.records, field)
        if contrast is not None:
            st.markdown(f"- {words.general(contrast, number, share=share)}")
    left, right = st.columns(2)
    left.subheader("How much each field changes the prediction")
    draw(left, importance_figure(found, number))
    left.caption(f"Mean of the absolute SHAP values over {rows} test rows; lines: standard errors.")
    right.subheader("SHAP summary")
    draw(right, summary_figure(found))
    right.caption(
        "Each point is a row: its position is what the field added to the prediction, its colour "
        "how high the value is. Categories are coloured in alphabetical order."
    )


def importance_figure(found: Attributions, number: str) -> Figure:
    shown = found.importance()[:SHOWN]
    figure, axes = plt.subplots(figsize=(6, 0.8 + 0.34 * len(shown)))
    names, sizes, errors = zip(*shown, strict=True)
    axes.barh(names, sizes, xerr=errors, color=plots.ACCENT, ecolor=plots.INK)
    axes.invert_yaxis()
    axes.set_xlabel(f"mean absolute SHAP value, in units of {number}")
    return figure


def summary_figure(found: Attributions) -> Figure:
    import shap  # type: ignore[import-untyped]

    values = shap.Explanation(found.values, found.base, found.data(), feature_names=found.fields)
    figure, axes = plt.subplots(figsize=(6, 0.8 + 0.34 * min(SHOWN, len(found.fields))))
    shap.plots.beeswarm(values, max_display=SHOWN, ax=axes, show=False, plot_size=None)
    axes.tick_params(labelsize=9)
    axes.set_xlabel("SHAP value", fontsize=9)
    return figure


def show_dependence(subject: Subject, number: str, rows: int) -> None:
    found = cached_attributions(subject.name, subject.version, number, rows)
    field = st.selectbox("Field", [name for name, _, _ in found.importance()], key="field")
    dependence = importance.dependence(subject.model, number, found.records, field)
    left, right = st.columns(2)
    left.subheader(f"Partial dependence on {field}")
    draw(left, dependence_figure(dependence, number))
    left.caption(
        f"Each of {rows} test rows is predicted again with every value of {field}, all other "
        "fields unchanged: mean, and middle 80 % of the rows. Such rows need not exist in reality."
    )
    right.subheader("SHAP values of the field")
    draw(right, scatter_figure(found, field))
    right.caption(
        "What the field added to each row's prediction. The spread comes from other fields."
    )


def dependence_figure(found: importance.Dependence, number: str) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 3.6))
    places: Any = found.values
    if not importance.is_number(found.values):
        places = range(len(found.values))
        axes.set_xticks(places, [label(each) for each in found.values], rotation=30, ha="right")
        # The mean of a few extreme rows can lie outside the band of the middle rows.
        reach = np.maximum([found.mean - found.low, found.high - found.mean], 0)
        axes.errorbar(places, found.mean, yerr=reach, fmt="o", color=plots.ACCENT)
    else:
        axes.fill_between(places, found.low, found.high, color=plots.PALE, alpha=0.5)
        axes.plot(places, found.mean, color=plots.ACCENT, marker=".")
    axes.set(xlabel=found.field, ylabel=number)
    return figure


def scatter_figure(found: Attributions, field: str) -> Figure:
    place = found.fields.index(field)
    figure, axes = plt.subplots(figsize=(6, 3.6))
    values = [getattr(each, field) for each in found.records]
    if importance.is_number(values):
        axes.scatter(found.data()[:, place], found.values[:, place], s=12, color=plots.ACCENT)
    else:
        axes.scatter(
            [label(each) for each in values], found.values[:, place], s=12, color=plots.ACCENT
        )
        axes.tick_params(axis="x", rotation=30)
    axes.axhline(0, color=plots.INK, linewidth=0.8)
    axes.set(xlabel=field, ylabel="SHAP value")
    return figure


def show_prediction(subject: Subject, number: str, rows: int) -> None:
    records = subject.records(rows)
    start = st.selectbox(
        "Start from test row", range(len(records)), format_func=lambda at: f"{at + 1}", key="row"
    )
    with st.form("record"):
        values = form_values(
            subject, records[start], key=f"{subject.name}/{subject.version}/{start}"
        )
        st.form_submit_button("Explain", type="primary")
    try:
        record = forms.record(subject.model.input_type(), values)
    except ValueError as error:
        st.error(f"This is not a valid record of {subject.name}:\n\n{error}")
        return
    share = subject.is_share(number)
    with mixing(subject.model):
        explanation = cached_shapley(subject.name, subject.version, number).explain(record)
    st.subheader(words.headline(explanation, share=share))
    for field in list(explanation.contributions)[:SENTENCES]:
        if explanation.contributions[field]:
            usual = importance.usual([getattr(each, field) for each in subject.background])
            value, change = getattr(record, field), explanation.contributions[field]
            line = words.reason(field, value, usual, change, number, share=share)
            st.markdown(f"- {line}")
    near = local.lime(subject.model, number, subject.background, record)
    left, right = st.columns(2)
    left.subheader("SHAP")
    draw(left, bars(explanation.contributions))
    left.caption(
        f"Shares of {explanation.value:.4g}, starting at {explanation.base:.4g}, the mean over "
        f"{explanation.references} rows: base and bars add up to the prediction. The model "
        f"predicted {explanation.evaluations:,} rows."
    )
    right.subheader("LIME")
    draw(right, bars(near.weights))
    right.caption(
        "How much higher the prediction is near this record where a field is as sent (a number: in "
        f"its quartile) than where it is not. The linear model has an R2 of {near.fit:.2f}; below "
        "0.5, trust SHAP. The two need not agree: one divides the prediction, the other compares."
    )


def form_values(subject: Subject, record: Record, *, key: str) -> dict[str, Any]:
    """Show the form and return its values as JSON; it starts with those of the record."""
    start = json.loads(record.model_dump_json())
    columns = st.columns(3)
    values = {}
    for place, widget in enumerate(forms.widgets(subject.model.input_type())):
        with columns[place % 3]:
            values[widget.name] = input_element(widget, start[widget.name], f"{key}/{widget.name}")
    return values


def input_element(widget: forms.Widget, start: Any, key: str) -> Any:
    options: dict[str, Any] = {"label": widget.name, "key": key, "help": widget.description or None}
    if widget.kind == "integer" or widget.kind == "number":
        kind = int if widget.kind == "integer" else float
        limits: dict[str, Any] = {
            "min_value": None if widget.low is None else kind(widget.low),
            "max_value": None if widget.high is None else kind(widget.high),
        }
        options |= {"value": None if start is None else kind(start)}
        return st.number_input(**limits, **options)
    if widget.kind in ("flag", "choice"):
        named = (True, False) if widget.kind == "flag" else widget.choices
        choices: list[Any] = [None, *named] if widget.optional else list(named)
        return st.selectbox(
            options=choices,
            index=choices.index(start) if start in choices else 0,
            format_func=lambda each: "unknown" if each is None else str(each),
            **options,
        )
    if widget.kind == "text":
        text = st.text_input(value=start or "", **options)
        return text if text or not widget.optional else None
    text = st.text_area(value=json.dumps(start), **options)
    try:
        return json.loads(text)
    except ValueError:
        return text


def bars(values: dict[str, float]) -> Figure:
    shown = list(values.items())[:SHOWN]
    figure, axes = plt.subplots(figsize=(6, 0.6 + 0.34 * len(shown)))
    plots.signed_bars(axes, [name for name, _ in shown], [value for _, value in shown], "")
    return figure


def show_fairness(subject: Subject) -> None:
    if not subject.rows:
        st.warning(NO_ROWS)
        return
    protected = subject.model.protected
    others = [name for name in subject.fields if name not in protected]
    field = st.selectbox("Field (the protected ones first)", [*protected, *others], key="protected")
    if field not in protected:
        st.caption(f"{subject.name} does not declare {field} as protected; it is shown anyway.")
    found = bias.bias(subject.rows, field)
    if found is None:
        st.warning(
            f"No field of {subject.name}'s prediction has the type of its labels, so no prediction "
            "can be right or wrong for a group."
        )
        return
    show_groups(subject, found)
    if found.comparisons:
        show_comparisons(found)
    elif found.target.kind == "flag":
        st.info("Fewer than two groups have 30 rows: nothing can be compared.")
    else:
        st.info(
            f"{found.target.field} is not binary: there is no selection, so neither the "
            "four-fifths rule nor equal opportunity applies. Compare the means and errors above."
        )
    if found.calibration:
        show_calibration(found)
    if subject.numbers:
        show_drivers(subject, field)


def show_groups(subject: Subject, found: bias.Bias) -> None:
    st.subheader(f"Predictions by {found.field}")
    table = [
        {"group": group.group, "rows": group.rows}
        | {
            each.metric: f"{each.value:.3g} ({each.low:.3g} to {each.high:.3g})"
            for each in group.metrics
        }
        for group in found.slices.groups
    ]
    st.dataframe(pd.DataFrame(table), hide_index=True)
    st.caption(
        f"On {len(subject.rows)} test rows, with 95 % intervals; groups of fewer than 30 rows have "
        "no metrics."
    )


def show_comparisons(found: bias.Bias) -> None:
    st.subheader(
        f"Compared with {found.baseline}, where {found.target.field} is predicted most often"
    )
    for each in found.comparisons:
        share = f"{100 * each.ratio.value:.0f} %"
        interval = f"{100 * each.ratio.low:.0f} to {100 * each.ratio.high:.0f}"
        line = f"**{each.group}** gets `{found.target.field}` {share} as often ({interval}): "
        line += f"{each.verdict}."
        if each.opportunity is not None:
            points = 100 * each.opportunity.value
            reach = f"{100 * each.opportunity.low:.0f} to {100 * each.opportunity.high:.0f}"
            line += f" The true positive rate differs by {points:+.0f} points ({reach}): "
            line += f"{each.opportunity_verdict}."
        st.markdown(f"- {line}")
    st.caption(
        "A gap is not proof of unfairness: groups may differ in their labels, not only in their "
        "predictions. Equal opportunity compares only rows with a positive label."
    )


def show_calibration(found: bias.Bias) -> None:
    st.subheader("Calibration by group")
    figure, axes = plt.subplots(figsize=(6, 3.6))
    for group in dict.fromkeys(each.group for each in found.calibration):
        own = [each for each in found.calibration if each.group == group]
        shares = [each.positive_share for each in own]
        reach = [
            [each.value - each.low for each in shares],
            [each.high - each.value for each in shares],
        ]
        axes.errorbar(
            [each.mean_probability for each in own],
            [each.value for each in shares],
            yerr=reach,
            marker="o",
            label=group,
        )
    axes.plot([0, 1], [0, 1], color=plots.PALE, linestyle=":")
    axes.set(xlabel="predicted probability", ylabel="share of positive labels")
    axes.legend(frameon=False)
    draw(st.columns(2)[0], figure)


def show_drivers(subject: Subject, field: str) -> None:
    st.subheader("Which fields make the difference")
    number = subject.numbers[0]
    try:
        found = bias.drivers(
            cached_attributions(subject.name, subject.version, number, importance.ROWS), field
        )
    except NotExplainable as error:
        st.warning(f"This cannot be shown: {error}")
        return
    table = {
        group: [f"{name} {value:+.3g}" for name, value in fields[:SENTENCES]]
        for group, fields in found.items()
    }
    st.dataframe(pd.DataFrame(table), hide_index=True)
    st.caption(
        f"Mean SHAP value of {number} in the group minus that of all, over {importance.ROWS} test "
        "rows. A field with a large value may stand in for the protected one."
    )


def label(value: Any) -> str:
    """Return the value as one short line: it may be a whole text."""
    return " ".join(str(value)[:200].split())[:24]


if __name__ == "__main__":
    main()
