"""What the sandbox's Qualtrics holds at its first start."""

from __future__ import annotations

from include.sandbox.vendors.qualtrics.data import (
    MULTI,
    NUMBER,
    TEXT,
    Filter,
    Question,
    Series,
    Store,
    Survey,
)
from include.sandbox.vendors.qualtrics.invented import BEGIN

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-qualtrics-secret-0001"
CLIENT_SCOPES = ("read:surveys", "read:survey_responses")
API_TOKEN = "sandbox-qualtrics-token-0001"

YES_NO = ((1, "Yes"), (2, "No"))
SYMPTOMS = Survey(
    id="SV_0symptoms",
    name="Symptom tracker",
    questions=(
        Question(id="QID1", tag="Q1", text="Do you have symptoms today?", choices=YES_NO),
        Question(
            id="QID2",
            tag="Q2",
            text="Which ones?\n<i>Choose all that apply.</i>",
            kind=MULTI,
            choices=((1, "Fever"), (2, "Cough"), (3, "Loss of smell, or taste")),
        ),
        Question(id="QID3", tag="Q3", text='Anything else? ("No" is fine.)', kind=TEXT),
        Question(id="QID4", tag="Q4", text="Temperature in °C", kind=NUMBER),
    ),
    embedded=("NetID", "Building"),
    filters=(Filter(id="FT_0yes", name="With symptoms", import_id="QID1", equals=1),),
)
FEEDBACK = Survey(
    id="SV_0feedback",
    name="Course feedback",
    anonymous=True,
    questions=(
        Question(
            id="QID1",
            tag="Q1",
            text="The course was…",
            choices=((1, "très bien"), (2, "bien"), (3, "moyen"), (4, "zu schwer")),
        ),
        Question(id="QID2", tag="Q2", text="What should change?", kind=TEXT),
    ),
    embedded=("Course",),
)
VISITORS = Survey(
    id="SV_0visitors",
    name="Visitor log",
    questions=(
        Question(id="QID1", tag="Q1", text="Whom do you visit?", kind=TEXT),
        Question(id="QID2", tag="Q2", text="Did you read the house rules?", choices=YES_NO),
    ),
    embedded=("NetID",),
)
# Seconds between two responses: each divides an hour, so that every full hour has the same number of them.
EVERY_S = {SYMPTOMS: 900, FEEDBACK: 1800, VISITORS: 1200}


def fill(store: Store) -> None:
    """The three surveys, with responses from 2024-01-01 on, for ever."""
    for survey, every_s in EVERY_S.items():
        store.add_survey(survey)
        store.add_series(
            survey.id, Series(seed="default", begin=BEGIN, every_s=every_s, jitter=True, unfinished_every=8)
        )
