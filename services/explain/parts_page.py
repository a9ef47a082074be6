"""The dashboard's pages of models that are explained by a picture or a text."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import streamlit as st
from matplotlib.figure import Figure

from services.explain import forms, parts, words
from services.explain.figures import draw
from services.explain.subject import Subject, changed
from slipway.contract import Record
from slipway.contract.text_fields import text_fields
from slipway.explain.heat_map import resize_to_show
from slipway.explain.pictures import PictureExplanation, picture_field
from slipway.explain.texts import TextExplanation
from slipway.explain.ways import Way
from slipway.media import decode_image, media_fields
from slipway.reporting import plots

SENTENCES, SHOWN = 5, 15
# Each text takes 400 predictions.
TEXTS = 20
ONE_FIELD = (
    "A record of this model is a {way}: no single field can be varied by itself. What matters in "
    "it is on the pages `What matters` and `One prediction`."
)


@st.cache_resource(max_entries=16, show_spinner="Predicting the picture without some of its cells")
def picture_explanations(_subject: Subject, name: str, version: str) -> list[PictureExplanation]:
    """Return the explanations of the shipped examples; name and version are the cache's key."""
    field = picture_field(_subject.model.input_type())
    records = [each for each in _subject.example_records() if field and getattr(each, field)]
    return [parts.picture_explanation(_subject.model, each) for each in records]


@st.cache_resource(max_entries=16, show_spinner="Predicting texts without some of their words")
def text_explanations(_subject: Subject, name: str, version: str) -> list[TextExplanation]:
    """Return the explanations of test rows; name and version are the cache's key."""
    records = [each for each in _texts(_subject, TEXTS) if _has_words(each)]
    return [parts.text_explanation(_subject.model, each, rows=parts.MANY_ROWS) for each in records]


def show(subject: Subject, page: str) -> None:
    """Show a page of a model whose records are explained by their parts."""
    picture = subject.way is Way.PICTURE
    if page == "One field":
        st.info(ONE_FIELD.format(way="picture" if picture else "text"))
    elif page == "What matters":
        (show_mean_cells if picture else show_mean_words)(subject)
    else:
        (show_picture if picture else show_text)(subject)


def show_mean_cells(subject: Subject) -> None:
    found = picture_explanations(subject, subject.name, subject.version)
    if not found:
        st.info("The examples of this version hold no picture.")
        return
    cells = parts.mean_cells(found)
    st.subheader("Where in the picture")
    left, right = st.columns(2)
    draw(left, cells_figure(cells, found[0].unit))
    left.caption(
        f"Mean absolute SHAP value of each cell over the {len(found)} examples that the version "
        "ships. Test rows are not kept: of their pictures there are only facts."
    )
    right.dataframe(pd.DataFrame(cells).round(4))


def cells_figure(cells: np.ndarray, unit: str) -> Figure:
    figure, axes = plt.subplots(figsize=(4.5, 3.6))
    image = axes.imshow(cells, cmap="Blues", vmin=0)
    axes.set(xticks=[], yticks=[])
    figure.colorbar(image, label=f"mean absolute SHAP value ({unit})")
    return figure


def show_mean_words(subject: Subject) -> None:
    found = text_explanations(subject, subject.name, subject.version)
    means = parts.word_means(found, count=SHOWN)
    st.subheader("Which words")
    if not means:
        st.info("No word is in two of the texts.")
        return
    figure, axes = plt.subplots(figsize=(6, 0.6 + 0.34 * len(means)))
    names = [f"{word} ({texts})" for word, _, texts in means]
    plots.signed_bars(axes, names, [value for _, value, _ in means], "")
    draw(st.columns(2)[0], figure)
    st.caption(
        f"Mean SHAP value of words in {len(found)} test rows, with the number of texts that have "
        "the word. Texts of more than 50 words are explained by groups of words, and only words "
        "that stand alone count here."
    )


def show_picture(subject: Subject) -> None:
    examples = subject.example_records()
    left, right = st.columns(2)
    place = left.selectbox(
        "Example", range(len(examples)), format_func=lambda at: f"{at + 1}", key="example"
    )
    sent = right.file_uploader("Or a picture of your own", key="picture")
    record, field = examples[place], picture_field(subject.model.input_type())
    assert field is not None
    if sent is not None:
        try:
            values = {**changed(record, {}).model_dump(), field: sent.getvalue()}
            record = type(record)(**values)
        except ValueError as error:
            st.error(f"This is not a valid record of {subject.name}:\n\n{error}")
            return
    found = parts.picture_explanation(subject.model, record)
    st.subheader(headline(found))
    for sentence in parts.cell_sentences(found, count=SENTENCES):
        st.markdown(f"- {sentence}")
    left, right = st.columns(2)
    picture = decode_image(getattr(record, field))
    left.image(resize_to_show(picture), caption="The picture", width="stretch")
    right.image(
        parts.heat_map(record, found),
        caption=f"Blue raises {found.explained}, orange lowers it",
        width="stretch",
    )
    st.dataframe(pd.DataFrame(found.cells).round(4))
    st.caption(
        f"SHAP values of the cells, in the unit {found.unit}. They start at {found.base:.4g}, the "
        f"prediction for a blurred copy, and add up to {found.value:.4g}. The model looked at "
        f"{found.evaluations:,} pictures in which some cells are blurred."
    )


def show_text(subject: Subject) -> None:
    records = _texts(subject, TEXTS)
    place = st.selectbox(
        "Start from", range(len(records)), format_func=lambda at: f"{at + 1}", key="row"
    )
    key = f"{subject.name}/{subject.version}/{place}"
    with st.form("text"):
        values = {
            name: st.text_area(name, getattr(records[place], name), key=f"{key}/{name}")
            for name in text_fields(subject.model.input_type())
        }
        st.form_submit_button("Explain", type="primary")
    try:
        record = forms.record(subject.model.input_type(), values)
    except ValueError as error:
        st.error(f"This is not a valid record of {subject.name}:\n\n{error}")
        return
    found = parts.text_explanation(subject.model, record)
    st.subheader(headline(found))
    st.html(parts.colored_text(record, found))
    figure, axes = plt.subplots(figsize=(6, 0.6 + 0.34 * min(SHOWN, len(found.spans))))
    largest = sorted(found.spans, key=lambda each: -abs(each.value))[:SHOWN]
    plots.signed_bars(
        axes,
        [f"{each.text[:30]} ({each.start})" for each in largest],
        [each.value for each in largest],
        "",
    )
    draw(st.columns(2)[0], figure)
    st.caption(
        f"Blue words raise {found.explained}, orange ones lower it; numbers in brackets are places "
        f"in the text. The values start at {found.base:.4g}, the prediction without any word, and "
        f"add up to {found.value:.4g}. The model read {found.evaluations:,} texts."
    )


def headline(found: PictureExplanation | TextExplanation) -> str:
    """Return the first sentence: the prediction, and that without anything to be seen or read."""
    share = parts.is_share(found)
    value, base = (words.number(each, share=share) for each in (found.value, found.base))
    bare = "blurred" if isinstance(found, PictureExplanation) else "without its words"
    what = found.unit if found.explained == found.unit else f"{found.unit} of {found.explained}"
    return f"The {what} for this record is {value}; {bare} it is {base}."


def show_example(example: dict[str, object], record: Record) -> None:
    """Show an example's record: pictures as pictures, everything else as JSON."""
    plain = dict(example)
    for name, marker in media_fields(type(record)).items():
        content = getattr(record, name)
        if marker.kind == "image" and isinstance(content, bytes):
            st.image(decode_image(content), caption=name, width=280)
            plain.pop(name)
    st.json(parts.without_media(plain), expanded=2)


def _texts(subject: Subject, count: int) -> list[Record]:
    """Return test rows, or the examples where no test rows with their texts are kept."""
    return subject.records(count) if subject.rows else subject.example_records()


def _has_words(record: Record) -> bool:
    return any(getattr(record, name).strip() for name in text_fields(type(record)))
