"""Settings of the workflow that brings Spinoco's recordings and transcriptions to a storage."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from interchange.core.file_name_template import template_problems
from interchange.settings.model import SettingsModel, problem
from interchange.settings.named import twice
from interchange.settings.types import ConnectionId, Text

MOST_SYNCS = 1024
"""Airflow's limit of entries of one mapped task."""
LONGEST_TAG = 64
"""Bytes in UTF-8; the vendor's limit."""

DataType = Literal[
    "CallMetadata",
    "Recordings",
    "Transcriptions",
    "ChatMetadata",
    "ChatHistory",
    "SMSMetadata",
    "EmailMetadata",
    "CommonMetadata",
    "WorkflowMetadata",
]
DeleteType = Literal["Recordings"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]

_HASH_TAG = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(:.+)?", re.IGNORECASE
)
_TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def _skill(value: str) -> str:
    if not 1 <= len(value) <= 4 or value != value.strip():
        raise problem(f"{value!r} is no skill; allowed: a skill's id of 1 to 4 characters")
    return value


def _hash_tag(value: str) -> str:
    if not _HASH_TAG.fullmatch(value):
        raise problem(
            f"{value!r} is no hash tag; allowed: its id (a UUID of version 1), or id:value, with a colon between"
        )
    return value


def _task_id(value: str) -> str:
    if not _TASK_ID.fullmatch(value):
        raise problem(f"{value!r} is no task id; allowed: a UUID")
    return value.lower()


def _moment(value: Any) -> Any:
    """YAML gives a date and time; the Variable's JSON has only text for one."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise problem(f"{value!r} is no date and time; allowed: such as 2024-09-09T15:45:47Z") from None
    if not isinstance(value, datetime):
        raise problem(f"{value!r} is no date and time; allowed: such as 2024-09-09T15:45:47Z")
    if value.tzinfo is None:
        raise problem(
            f"{value.isoformat()} has no zone; write Z behind it for UTC, or an offset such as +02:00"
        )
    if value.timestamp() < 0:
        raise problem(f"{value.isoformat()} is before 1970")
    return value.astimezone(UTC)


Skill = Annotated[str, AfterValidator(_skill)]
HashTag = Annotated[str, AfterValidator(_hash_tag)]
TaskId = Annotated[str, AfterValidator(_task_id)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


def _check_conditions(must: list[str], should: list[str], must_not: list[str]) -> None:
    lists = {"must": must, "should": should, "must_not": must_not}
    problems = [f"{key} has {value!r} twice" for key, values in lists.items() for value in twice(values)]
    problems += [
        f"{value!r} is in must and in must_not: nothing fits both" for value in must if value in must_not
    ]
    if problems:
        raise problem(*problems)


class Skills(SettingsModel):
    """Which skills a task has; an empty list is no condition."""

    must: list[Skill] = Field(default_factory=list, description="All of these.")
    should: list[Skill] = Field(default_factory=list, description="At least one of these.")
    must_not: list[Skill] = Field(default_factory=list, description="None of these.")

    @model_validator(mode="after")
    def _fits_together(self) -> Skills:
        _check_conditions(self.must, self.should, self.must_not)
        return self


class HashTags(SettingsModel):
    """Which hash tags a task has, each `id` or `id:value`; an empty list is no condition."""

    must: list[HashTag] = Field(default_factory=list, description="All of these.")
    should: list[HashTag] = Field(default_factory=list, description="At least one of these.")
    must_not: list[HashTag] = Field(default_factory=list, description="None of these.")

    @model_validator(mode="after")
    def _fits_together(self) -> HashTags:
        _check_conditions(self.must, self.should, self.must_not)
        return self


def _prefix(value: str) -> str:
    if value.startswith("/") or any(part in ("", ".", "..") for part in value.split("/") if value):
        raise problem(f"{value!r} is no prefix; allowed: folders with / between them, such as calls/archive")
    return value


Prefix = Annotated[str, AfterValidator(_prefix)]
_PREFIX = "Folders in front of every name, with `/` between them."


class LocalStorage(SettingsModel):
    """A folder of a disk that every worker sees."""

    provider: Literal["local"]
    save_to: Text = Field(description="Absolute path; made if missing.")

    @field_validator("save_to")
    @classmethod
    def _absolute(cls, value: str) -> str:
        path = PurePosixPath(value)
        if not path.is_absolute() or ".." in path.parts:
            raise problem(f"{value!r} is no absolute path without ..; allowed: such as /data/recordings")
        return value


class S3Storage(SettingsModel):
    """A bucket of Amazon S3."""

    provider: Literal["s3"]
    conn_id: ConnectionId = Field("aws_default", description="Airflow's own connection to AWS.")
    bucket: Text
    prefix: Prefix = Field("", description=_PREFIX)
    region: Text | None = Field(None, description="null: the connection's.")


class GcsStorage(SettingsModel):
    """A bucket of Google Cloud Storage."""

    provider: Literal["gcs"]
    conn_id: ConnectionId = Field(
        "google_cloud_default", description="Airflow's own connection to Google Cloud."
    )
    bucket: Text
    prefix: Prefix = Field("", description=_PREFIX)
    project: Text | None = Field(
        None,
        description="Is billed for what is stored and read, where the bucket wants it; null: the connection's.",
    )


class AzureStorage(SettingsModel):
    """A container of Azure Blob Storage."""

    provider: Literal["azure"]
    conn_id: ConnectionId = Field(
        "wasb_default", description="Airflow's own connection to Azure Blob Storage."
    )
    container: Text
    prefix: Prefix = Field("", description=_PREFIX)


def _provider(value: Any) -> str:
    provider = value.get("provider") if isinstance(value, dict) else getattr(value, "provider", None)
    return f"<{provider}>" if provider in ("s3", "gcs", "azure") else "<local>"


Storage = Annotated[
    Annotated[LocalStorage, Tag("<local>")]
    | Annotated[S3Storage, Tag("<s3>")]
    | Annotated[GcsStorage, Tag("<gcs>")]
    | Annotated[AzureStorage, Tag("<azure>")],
    Discriminator(_provider),
]


class Sync(SettingsModel):
    """One synchronisation: what is fetched, and where it is stored."""

    name: Name = Field(description="Unique; names the mapped task in the grid.")
    conn_id: ConnectionId = Field("spinoco_default", description="Airflow connection of type `spinoco`.")
    tag: Text = Field(
        description="Names the state that Spinoco keeps of what was received; at most 64 bytes. "
        "Nobody else may use it."
    )
    get: list[DataType] = Field(min_length=1, description="What is fetched.")
    delete: list[DeleteType] = Field(
        default_factory=list,
        description="What is deleted at Spinoco after its stored copy was proved; must be fetched too.",
    )
    file_name_template: Text = Field(
        "{{due_date|yyyy}}/{{due_date|MM}}/{{due_date|dd}}/{{due_date|yyyyMMddHHmmss}}-{{task_id}}",
        description="Filled in by Spinoco: `{{task_id}}`, `{{call_from}}`, `{{call_to}}` and `{{due_date|…}}` with a "
        "pattern of Java's SimpleDateFormat (`MM` month, `mm` minute, `HH` 0-23, `hh` 1-12).",
    )
    start_from: Moment | None = Field(
        None,
        description="Date and time with a zone. Counts only while the tag is new. null: from the beginning.",
    )
    skills: Skills = Field(default_factory=lambda: Skills.model_validate({}))
    hashtags: HashTags = Field(default_factory=lambda: HashTags.model_validate({}))
    storage: Storage = Field(description="Where files are stored.")
    parallel: int = Field(
        8,
        ge=1,
        le=64,
        description="Files that are fetched at once; as many may be on their way into the storage.",
    )
    page_size: int = Field(
        100,
        ge=1,
        le=1000,
        description="Tasks that are asked for at once; Spinoco's own client asks for 10. Fewer may come.",
    )
    keep_days_before_delete: int = Field(
        0, ge=0, le=3650, description="Days between storing a file and deleting it at Spinoco."
    )
    max_deletions: int = Field(1000, ge=0, description="In one run; more wait for a person.")
    hold: list[TaskId] = Field(default_factory=list, description="Tasks of which nothing is ever deleted.")
    attempts: int = Field(
        5, ge=1, le=100, description="Runs that try a bad file before it is left in quarantine."
    )
    late_days: int = Field(
        14,
        ge=0,
        le=365,
        description="Days for which a transcription that is not there yet is looked for again.",
    )

    @field_validator("tag")
    @classmethod
    def _short(cls, value: str) -> str:
        if len(value.encode()) > LONGEST_TAG:
            raise problem(f"{value!r} is too long; allowed: at most {LONGEST_TAG} bytes in UTF-8")
        return value

    @field_validator("file_name_template")
    @classmethod
    def _usable(cls, value: str) -> str:
        if problems := list(template_problems(value)):
            raise problem(*problems)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Sync:
        problems = [f"get has {kind} twice" for kind in twice(self.get)]
        problems += [f"delete has {kind} twice" for kind in twice(self.delete)]
        problems += [
            f"delete has {kind}, but get has not: only what is stored may be deleted"
            for kind in dict.fromkeys(self.delete)
            if kind not in self.get
        ]
        if problems:
            raise problem(*problems)
        return self

    def query(self) -> dict[str, Any]:
        """The query of the first page, as the vendor spells it."""
        query: dict[str, Any] = {
            "tag": self.tag,
            "get": ",".join(self.get),
            "delete": ",".join(self.delete),
            "fileNameTemplate": self.file_name_template,
            "skillsShould": self.skills.should,
            "skillsMust": self.skills.must,
            "skillsMustNot": self.skills.must_not,
            "hashTagsShould": self.hashtags.should,
            "hashTagsMust": self.hashtags.must,
            "hashTagsMustNot": self.hashtags.must_not,
        }
        if self.start_from is not None:
            query["startFrom"] = str(round(self.start_from.timestamp() * 1000))
        return query


class Settings(SettingsModel):
    """All synchronisations of the workflow `spinoco_sync`."""

    syncs: list[Sync] = Field(
        min_length=1, max_length=MOST_SYNCS, description="One entry for each synchronisation."
    )
    alert_conn_id: ConnectionId | None = Field(
        None,
        description="Airflow connection of type `http`: a chat's webhook that is told, once a day, that Spinoco does "
        "not let us in. null: nobody is told.",
    )

    @model_validator(mode="after")
    def _unique(self) -> Settings:
        problems = [f"two syncs are named {name!r}" for name in twice([sync.name for sync in self.syncs])]
        # Each would receive what the other one then never gets.
        problems += [
            f"two syncs use {shared}"
            for shared in twice([f"tag {sync.tag!r} through {sync.conn_id}" for sync in self.syncs])
        ]
        if problems:
            raise problem(*problems)
        return self
