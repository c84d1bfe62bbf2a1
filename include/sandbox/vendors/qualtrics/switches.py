"""The switches of the simulated Qualtrics."""

from __future__ import annotations

from dataclasses import dataclass

from include.sandbox.core import Vendor

WEEK_S = 7 * 24 * 3600


@dataclass
class Options(Vendor.Options):
    """
    Everything that varies, is not documented, or goes wrong. Fields that count (``fail_jobs: 2``) are for the
    next so many jobs or downloads and count down; -1 is for all.
    """

    # Tokens
    token_expires_in_s: int = 3599
    token_error_envelope: bool = False
    """A refused token request answers Qualtrics' envelope (AUTH_6.0) and not RFC 6749's ``{"error": …}``."""
    scope_required: bool = False
    """A token request without a scope is refused; else the token has all scopes of the client."""
    forbidden_code: str = "AuthZ_2.0"
    wrong_datacenter: bool = False
    """
    We are another datacenter than the account's: bearer 401, API token proxied (GET with a notice, POST 400).
    """

    # Starting an export
    fractions_refused: bool = True
    """Dates with fractions of a second are a 400."""
    external_reference_id: str = "externalDataReference"
    """The accepted spelling in surveyMetadataIds; sources disagree, the other is ``externalReference``."""
    visible_delay_s: float = 0.0
    """A response can be exported only so long after it was recorded or changed (30 to 60 s by one source)."""
    continuation_kept_s: float = WEEK_S

    # Jobs
    polls_until_complete: int = 2
    """How many polls are answered ``inProgress`` before the job ends."""
    job_seconds: float = 0.0
    """A job does not end earlier than this after its start."""
    percent_while_running: float = 0.0
    full_percent_polls: int = 0
    """So many further polls say 100 % and still ``inProgress``."""
    file_id_null: bool = False
    """``fileId`` is null until complete (documentation), not missing (recorded)."""
    fail_jobs: int = 0
    """Jobs that end ``failed``, with HTTP 200."""
    failed_with_error: bool = False
    """A failed job has ``result.error``."""
    endless_jobs: int = 0
    vanish_jobs: int = 0
    """Jobs that are unknown (404) from poll ``vanish_after_polls`` + 1 on."""
    vanish_after_polls: int = 1
    export_limit_bytes: int = 1_800_000_000
    """A larger export ends ``failed``."""

    # Downloads
    files_kept_s: float = WEEK_S
    gzip_files: bool = True
    """
    A client that offers gzip gets it as content-encoding, around a ZIP too. Never for generated large files.
    """
    chunked_files: bool = False
    """No content-length."""
    always_zip: bool = False
    """``compress: false`` is answered with a ZIP all the same."""
    entry_name: str | None = None
    """The name within the ZIP instead of ``<survey name>.<format>``, such as ``../evil.csv``."""
    corrupt_zips: int = 0
    """Downloads with a damaged byte within the ZIP's compressed data."""
    empty_files: int = 0
    """Downloads answered 200 with no bytes."""
    html_files: int = 0
    """Downloads answered 200 with a page of HTML."""
    excess_lengths: int = 0
    """Downloads whose content-length announces 1000 bytes more than follow."""

    # Survey list
    page_size: int = 100
    cursor_parameter: str = "offset"
    """Its name in ``nextPage``; ``offset`` carries a number, any other (``skipToken``) an opaque text."""

    # Limits, calls per ``limit_period_s``; 0: no limit
    limit_brand: int = 3000
    limit_start: int = 100
    limit_progress: int = 1000
    limit_file: int = 100
    limit_period_s: float = 60.0
    limit_code: str = "RATE_LIMIT_EXCEEDED"
    retry_after: bool = True
    """A 429 carries ``Retry-After`` in seconds."""
    server_errors: int = 0
    """Calls answered ``server_error_status`` in the vendor's envelope, with an ``instanceId``."""
    server_error_status: int = 503


def due(options: Options, name: str) -> bool:
    """Whether the counting switch ``name`` applies now; counts it down."""
    left: int = getattr(options, name)
    if left > 0:
        setattr(options, name, left - 1)
    return left != 0
