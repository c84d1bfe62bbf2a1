"""The switches of Graph: what differs between tenants, between years, between good days and bad ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from include.sandbox.core import Vendor


@dataclass
class GraphOptions(Vendor.Options):
    """Each switch's default is what most sources report, or the stricter answer where they are silent."""

    store_content: bool = True
    """False: bytes are counted and hashed, not kept; no downloads then, and no sessions over a restart."""
    simple_limit_bytes: int = 250_000_000
    """Above it a simple PUT gets 413. Documented: 250 MB; older documents and SDKs: 4 MiB (4194304)."""
    missing_parents_put: str = "create"
    """``create``, ``404`` or ``409``: what a simple PUT or POST children does about missing folders."""
    missing_parents_session: str = "404"
    """The same for createUploadSession. The last documented word is that the folder must exist."""
    missing_parents_children: str = "create"
    conflict_at: str = "creation"
    """``creation`` or ``commit``: when a session with ``fail`` meets an existing file. A file that appears
    during the upload is always met at the commit."""
    second_session: str = "allowed"
    """``conflict``: 409 while another session for the same path is open. Reported, but not always."""
    session_life_s: float = 900
    """A session ends so long after its creation or its last fragment."""
    credential_life_s: float = 86400
    """The credential inside the upload URL ends so long after its creation, whatever happens."""
    quota_bytes: int = 1 << 40
    unknown_user_code: str = "Request_ResourceNotFound"
    """Or ``itemNotFound``: which of the two is not documented."""
    hash_and_percent_allowed: bool = True
    """``#`` and ``%`` in names: allowed in most tenants today."""
    children_page_size: int = 200
    locked_paths: list[str] = field(default_factory=list)
    """Paths such as ``/Exports/f.csv``: changes there get 423."""
    hashes: str = "right"
    """``right``, ``wrong`` (of other bytes), ``missing`` (no ``hashes`` at all) or ``empty`` (``{}``)."""
    hashes_after_gets: int = 0
    """So many look-ups of a newly stored content show no hashes yet; the upload's own answer neither."""
    empty_file_hashed: bool = True
    """False: files of 0 bytes have ``hashes: {}``."""
    visible_after_gets: int = 0
    """So many look-ups of a new file say 404."""
    altered_suffixes: list[str] = field(default_factory=list)
    """Files with these endings (``.docx``) are changed while they are stored, as Office files are."""
    corrupt_uploads: list[int] = field(default_factory=list)
    """These uploads (simple PUTs and sessions, counted together from 1) are stored with one wrong byte."""
    direct_download: bool = False
    """True: GET content answers with the bytes, not with 302 to the upload host."""
    inner_error_key: str = "innerError"
    """``innererror`` in older answers."""
