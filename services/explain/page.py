"""The page that Streamlit runs: anew from top to bottom at each click, what is dear kept."""

import json
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import streamlit as st
from matplotlib.figure import Figure

from services.explain import bias, forms, importance, local, words
from services.explain.importance import Attributions
from services.explain.subject import Subject, catalogue, load, mixing
from slipway.contract import Record
from slipway.explain import NotExplainable, Shapley
from slipway.reporting import plots

ROWS, SENTENCES, SHOWN = 60, 5, 12
PAGES = ("The model", "What matters", "One field", "One prediction", "Fairness")


@st.cache_resource(max_entries=8, show_spinner="Reading the version from the registry")
def subject_of(name: str, version: str) -> Subject:
    return load(name, version)


@st.cache_resource(max_entries=16, show_spinner="Asking the model about many rows")
def attributions_of(name: str, version: str, number: str, rows: int) -> Attributions:
    held = subject_of(name, version)
    return importance.attributions(held.model, number, held.background, held.records(rows))


@st.cache_resource(max_entries=16, show_spinner=False)
def shapley_of(name: str, version: str, number: str) -> Shapley:
    held = subject_of(name, version)
    return importance.shapley_of(held.model, number, held.background)


def main() -> None:
    st.set_page_config(page_title="Slipway: why", layout="wide")
    versions = catalogue()
    if not versions:
        st.info("The registry has no model yet. `make up`, or `slipway repro titanic`, makes one.")
        return
    with st.sidebar:
        name = st.selectbox("Project", list(versions), key="project", bind="query-params")
        version = st.selectbox("Version (the champion first)", versions[name], key="version")
        page = st.radio("Page", PAGES, key="page", bind="query-params")
    try:
        held = subject_of(name, version)
    except Exception as error:
        st.error(f"{name} v{version} cannot be read: {error}")
        return
    st.title(f"{name} v{version}")
    if page == "The model":
        show_model(held)
    elif page == "Fairness":
        show_fairness(held)
    elif not held.numbers:
        st.warning(nothing_to_divide(held))
    elif not held.rows:
        st.warning("This version was registered without test rows. Train it again to have them.")
    else:
        with st.sidebar:
            number = st.selectbox("Number of the answer", held.numbers, key="number")
            rows = st.slider("Test rows asked about", 20, 300, ROWS, step=20, key="rows")
        show = {
            "What matters": show_importance,
            "One field": show_dependence,
            "One prediction": show_prediction,
        }
        try:
            show[page](held, number, rows)
        except NotExplainable as error:
            st.warning(f"This cannot be shown: {error}")


def nothing_to_divide(held: Subject) -> str:
    told = ", ".join(held.model.output_type().model_fields)
    return (
        f"{held.name} answers no single number ({told}), so there is nothing to divide among the "
        "fields of a record: no importance, no SHAP, no LIME, no dependence. Its card and its "
        "examples are on the first page."
    )


def show_model(held: Subject) -> None:
    st.markdown(held.card)
    st.subheader("Examples")
    for example in held.examples:
        sent, told = st.columns(2)
        sent.json(example["input"], expanded=2)
        told.json(example["output"], expanded=2)


def show_importance(held: Subject, number: str, rows: int) -> None:
    found, share = attributions_of(held.name, held.version, number, rows), held.is_share(number)
    if len(found.fields) == 1:
        st.info(f"A record is one field, {found.fields[0]}: all that moves the answer is in it.")
    st.subheader("In words")
    for field, _, _ in found.importance()[:SENTENCES]:
        told = importance.contrast(held.model, number, found.records, field)
        if told is not None:
            st.markdown(f"- {words.general(told, number, share=share)}")
    left, right = st.columns(2)
    left.subheader("How much each field moves the answer")
    draw(left, importance_figure(found, number))
    left.caption(f"Mean of the absolute SHAP values over {rows} test rows; lines: standard errors.")
    right.subheader("SHAP summary")
    draw(right, summary_figure(found))
    right.caption(
        "A point is a row: how far right says what the field added to its answer, the colour how "
        "high its value is. Categories are coloured in the order of the alphabet."
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

    told = shap.Explanation(found.values, found.base, found.data(), feature_names=found.fields)
    figure, axes = plt.subplots(figsize=(6, 0.8 + 0.34 * min(SHOWN, len(found.fields))))
    shap.plots.beeswarm(told, max_display=SHOWN, ax=axes, show=False, plot_size=None)
    axes.tick_params(labelsize=9)
    axes.set_xlabel("SHAP value", fontsize=9)
    return figure


def show_dependence(held: Subject, number: str, rows: int) -> None:
    found = attributions_of(held.name, held.version, number, rows)
    field = st.selectbox("Field", [name for name, _, _ in found.importance()], key="field")
    told = importance.dependence(held.model, number, found.records, field)
    left, right = st.columns(2)
    left.subheader(f"The answer, were {field} another")
    draw(left, dependence_figure(told, number))
    left.caption(
        f"Each of {rows} test rows is asked again with every value of {field}, all else as it was: "
        "mean, and the middle 80 % of the rows. Some such rows may be none that exist."
    )
    right.subheader("SHAP values of the field")
    draw(right, scatter_figure(found, field))
    right.caption("What the field added to each row's answer. Wide where other fields matter too.")


def dependence_figure(told: importance.Dependence, number: str) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 3.6))
    places: Any = told.values
    if not importance.is_number(told.values):
        places = range(len(told.values))
        axes.set_xticks(places, [label(each) for each in told.values], rotation=30, ha="right")
        reach = [told.mean - told.low, told.high - told.mean]
        axes.errorbar(places, told.mean, yerr=reach, fmt="o", color=plots.ACCENT)
    else:
        axes.fill_between(places, told.low, told.high, color=plots.PALE, alpha=0.5)
        axes.plot(places, told.mean, color=plots.ACCENT, marker=".")
    axes.set(xlabel=told.field, ylabel=number)
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


def show_prediction(held: Subject, number: str, rows: int) -> None:
    records = held.records(rows)
    start = st.selectbox(
        "Start from test row", range(len(records)), format_func=lambda at: f"{at + 1}", key="row"
    )
    with st.form("record"):
        values = asked(held, records[start], key=f"{held.name}/{held.version}/{start}")
        st.form_submit_button("Ask", type="primary")
    try:
        record = forms.record(held.model.input_type(), values)
    except ValueError as error:
        st.error(f"This is no record of {held.name}:\n\n{error}")
        return
    share = held.is_share(number)
    with mixing(held.model):
        told = shapley_of(held.name, held.version, number).explain(record)
    st.subheader(words.answer(told, share=share))
    for field in list(told.contributions)[:SENTENCES]:
        if told.contributions[field]:
            usual = importance.usual([getattr(each, field) for each in held.background])
            value, moved = getattr(record, field), told.contributions[field]
            line = words.reason(field, value, usual, moved, number, share=share)
            st.markdown(f"- {line}")
    near = local.lime(held.model, number, held.background, record)
    left, right = st.columns(2)
    left.subheader("SHAP")
    draw(left, bars(told.contributions))
    left.caption(
        f"Shares of {told.value:.4g}, starting at {told.base:.4g}, the mean over "
        f"{told.references} rows: base and bars add up to the answer. The model was asked "
        f"{told.evaluations:,} times."
    )
    right.subheader("LIME")
    draw(right, bars(near.weights))
    right.caption(
        "How much higher the answer is near this record where a field is as sent (a number: in its "
        f"quarter) than where it is not. The line fits with R2 {near.fit:.2f}; below one half, "
        "believe SHAP. The two need not agree: one divides the answer, the other compares."
    )


def asked(held: Subject, record: Record, *, key: str) -> dict[str, Any]:
    """What the form holds, as JSON; it starts at the record."""
    start = json.loads(record.model_dump_json())
    columns = st.columns(3)
    values = {}
    for place, widget in enumerate(forms.widgets(held.model.input_type())):
        with columns[place % 3]:
            values[widget.name] = ask(widget, start[widget.name], f"{key}/{widget.name}")
    return values


def ask(widget: forms.Widget, start: Any, key: str) -> Any:
    told: dict[str, Any] = {"label": widget.name, "key": key, "help": widget.description or None}
    if widget.kind == "integer" or widget.kind == "number":
        kind = int if widget.kind == "integer" else float
        limits: dict[str, Any] = {
            "min_value": None if widget.low is None else kind(widget.low),
            "max_value": None if widget.high is None else kind(widget.high),
        }
        told |= {"value": None if start is None else kind(start)}
        return st.number_input(**limits, **told)
    if widget.kind in ("flag", "choice"):
        named = (True, False) if widget.kind == "flag" else widget.choices
        choices: list[Any] = [None, *named] if widget.optional else list(named)
        return st.selectbox(
            options=choices,
            index=choices.index(start) if start in choices else 0,
            format_func=lambda each: "unknown" if each is None else str(each),
            **told,
        )
    if widget.kind == "text":
        text = st.text_input(value=start or "", **told)
        return text if text or not widget.optional else None
    text = st.text_area(value=json.dumps(start), **told)
    try:
        return json.loads(text)
    except ValueError:
        return text


def bars(values: dict[str, float]) -> Figure:
    shown = list(values.items())[:SHOWN]
    figure, axes = plt.subplots(figsize=(6, 0.6 + 0.34 * len(shown)))
    plots.weights(axes, [name for name, _ in shown], [value for _, value in shown], "")
    return figure


def show_fairness(held: Subject) -> None:
    if not held.rows:
        st.warning("This version was registered without test rows. Train it again to have them.")
        return
    protected = held.model.protected
    others = [name for name in held.fields if name not in protected]
    field = st.selectbox("Field (the protected ones first)", [*protected, *others], key="protected")
    if field not in protected:
        st.caption(f"{held.name} does not call {field} protected; it is shown all the same.")
    found = bias.bias(held.rows, field)
    if found is None:
        st.warning(
            f"No field of {held.name}'s answer is of the kind of its truth, so no answer can be "
            "right or wrong for a group."
        )
        return
    show_groups(held, found)
    if found.comparisons:
        show_comparisons(found)
    elif found.target.kind == "flag":
        st.info("Fewer than two groups have 30 rows: nothing can be compared.")
    else:
        st.info(
            f"{found.target.field} is no yes or no: there is no selection, so neither the "
            "four-fifths rule nor equal opportunity applies. Compare the means and errors above."
        )
    if found.calibration:
        show_calibration(found)
    if held.numbers:
        show_drivers(held, field)


def show_groups(held: Subject, found: bias.Bias) -> None:
    st.subheader(f"Answers by {found.field}")
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
        f"On {len(held.rows)} test rows, with 95 % intervals; groups of fewer than 30 rows have "
        "no figures."
    )


def show_comparisons(found: bias.Bias) -> None:
    st.subheader(f"Against {found.against}, where {found.target.field} is answered most often")
    for each in found.comparisons:
        share = f"{100 * each.ratio.value:.0f} %"
        interval = f"{100 * each.ratio.low:.0f} to {100 * each.ratio.high:.0f}"
        said = f"**{each.group}** gets `{found.target.field}` {share} as often ({interval}): "
        said += f"{each.verdict}."
        if each.opportunity is not None:
            points = 100 * each.opportunity.value
            reach = f"{100 * each.opportunity.low:.0f} to {100 * each.opportunity.high:.0f}"
            said += f" Of those who truly are, {points:+.0f} points are found ({reach}): "
            said += f"{each.opportunity_verdict}."
        st.markdown(f"- {said}")
    st.caption(
        "A gap is not yet an injustice: groups may differ in truth, not only in answers. "
        "Equal opportunity compares only those for whom the truth is yes."
    )


def show_calibration(found: bias.Bias) -> None:
    st.subheader("Is a probability worth the same in every group?")
    figure, axes = plt.subplots(figsize=(6, 3.6))
    for group in dict.fromkeys(each.group for each in found.calibration):
        own = [each for each in found.calibration if each.group == group]
        happened = [each.happened for each in own]
        reach = [
            [each.value - each.low for each in happened],
            [each.high - each.value for each in happened],
        ]
        axes.errorbar(
            [each.held for each in own],
            [each.value for each in happened],
            yerr=reach,
            marker="o",
            label=group,
        )
    axes.plot([0, 1], [0, 1], color=plots.PALE, linestyle=":")
    axes.set(xlabel="held likely", ylabel="happened")
    axes.legend(frameon=False)
    draw(st.columns(2)[0], figure)


def show_drivers(held: Subject, field: str) -> None:
    st.subheader("Which fields make the difference")
    number = held.numbers[0]
    try:
        found = bias.drivers(attributions_of(held.name, held.version, number, ROWS), field)
    except NotExplainable as error:
        st.warning(f"This cannot be shown: {error}")
        return
    table = {
        group: [f"{name} {value:+.3g}" for name, value in fields[:SENTENCES]]
        for group, fields in found.items()
    }
    st.dataframe(pd.DataFrame(table), hide_index=True)
    st.caption(
        f"Mean SHAP value of {number} in the group less that of all, over {ROWS} test rows: a "
        "large one of another field than the protected one may stand in for it."
    )


def label(value: Any) -> str:
    """Short, and on one line: it may be a whole text."""
    return " ".join(str(value)[:200].split())[:24]


def draw(place: Any, figure: Figure) -> None:
    place.pyplot(figure)
    plt.close(figure)


if __name__ == "__main__":
    main()
