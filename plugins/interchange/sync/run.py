"""One run of one synchronisation."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from interchange.core.safe_names import distinct, safe_path
from interchange.core.spinoco_files import Deletions, Original, plan_deletions
from interchange.errors import BadRecord, Busy, RateLimited, Refused, Unavailable
from interchange.hooks.spinoco import SpinocoHook, SyncPage
from interchange.ledger import Effect, EffectRef, Ledger, RunRef, State
from interchange.settings.spinoco_sync import Sync
from interchange.storages import Storage, open_storage
from interchange.storages.base import MANIFESTS
from interchange.sync.moving import NOT_YET, Fate, Item, Moved, Movers, content_of, store_text
from interchange.sync.pages import (
    DELETION,
    FILE,
    WORKFLOW,
    Names,
    Page,
    PageBook,
    Source,
    file_ref_of,
    sync_key,
)
from interchange.sync.refusals import is_not_let_in

log = logging.getLogger(__name__)

AWAY_FOR = timedelta(days=1)
"""A file that Spinoco does not give for so long, while it gives others, is set aside."""
LATE_AGAIN = 0.5
"""A late file is looked for again when it has waited for half as long again."""
LATE_OFTEN = timedelta(hours=1)
"""For so long every run looks for it."""
PUT_OFF = "file "
"""How the ledger's reason begins where a file itself is why it is tried again."""
UNKNOWN_CURSOR = (400, 404, 410, 422)
BEYOND, COPY = "max_deletions", "copy"
"""Fields that say why a deletion waits for a person."""


@dataclass(kw_only=True)
class Summary:
    """
    What a run did.

    :param pages: received, or left by earlier runs.
    :param stored: files, and :param bytes: theirs.
    :param known: files of these pages that were stored before.
    :param waiting: files that are not there or not sound, to be tried again by later runs.
    :param quarantined: files set aside in this run.
    :param deleted: originals at Spinoco.
    :param deletions_waiting: originals that wait for a person, being more than ``max_deletions``.
    :param undeleted: originals that Spinoco does not delete now; later runs try again.
    :param unproved: originals that stay, because their stored copy is missing or altered.
    :param more: there are more pages; ``max_pages`` was reached.
    """

    pages: int = 0
    stored: int = 0
    bytes: int = 0
    known: int = 0
    waiting: int = 0
    quarantined: int = 0
    deleted: int = 0
    deletions_waiting: int = 0
    undeleted: int = 0
    unproved: int = 0
    more: bool = False

    def __str__(self) -> str:
        return ", ".join(f"{value} {name}" for name, value in asdict(self).items())


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """
    What became of one original.

    :param receipt: it is gone. :param field: set aside for a person. Neither: Spinoco does not delete it now.
    """

    ref: EffectRef
    receipt: dict[str, Any] | None = None
    field: str | None = None
    reason: str = ""


class SyncRun:
    """
    Work on one synchronisation, whose claim the caller holds.

    :param still_ours: raises when that claim is lost.
    :param hook: makes a hook; :param storage: opens the storage: each thread gets its own.
    :param pause: how to wait before a transfer is begun anew, in seconds. :param clock: what time it is.
    """

    def __init__(
        self,
        sync: Sync,
        *,
        ledger: Ledger,
        run: RunRef,
        lease_s: float,
        hook: Callable[[], SpinocoHook] | None = None,
        storage: Callable[[], Storage] | None = None,
        still_ours: Callable[[], None] = lambda: None,
        pause: Callable[[float], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._sync = sync
        self._ledger = ledger
        self._run = run
        self._lease_s = lease_s
        self._still_ours = still_ours
        self._key = sync_key(sync.conn_id, sync.tag)
        self._hook = (hook or (lambda: SpinocoHook(sync.conn_id)))()
        self._storage = (storage or (lambda: open_storage(sync.storage, name=sync.name)))()
        self._movers = Movers(
            hook=hook or (lambda: SpinocoHook(sync.conn_id)),
            storage=storage or (lambda: open_storage(sync.storage, name=sync.name)),
            spooled_for=self._storage,
            parallel=sync.parallel,
            **({} if pause is None else {"pause": pause}),
        )
        self._book = PageBook(ledger, key=self._key, run=run, lease_s=lease_s)
        self._names = Names(ledger, place=self._storage.place, run=run, lease_s=lease_s)
        self._missing: list[str] = []
        self._asked_anew = False
        self.summary = Summary()

    def close(self) -> None:
        self._movers.close()
        self._hook.close()
        self._storage.close()

    def synchronise(self, *, max_pages: int | None = None) -> None:
        """
        Finish what earlier runs have left, then receive page after page until there is none.

        :raises Refused: Spinoco or the storage does not let us in. :raises Unavailable: one of them is not well.
        """
        self._storage.sweep()
        self._wait_for_claims()
        opened = self._book.open()
        self._retry({page.key for page in opened})
        for page in opened:
            self._finish(page)
        last = opened[-1] if opened else None
        asked = 0
        while max_pages is None or asked < max_pages:
            self._still_ours()
            asked += 1
            received = self._receive(last)
            dealt_with = opened if last is None else [*opened, last]
            opened = []
            if received is None or not received.tasks:
                self._book.close(dealt_with)
                last = None
                break
            last = self._book.record(received, closes=dealt_with)
            self._finish(last)
        # The last page stays open: the next run finds it dealt with, and goes on behind it.
        self.summary.more = last is not None and last.cursor is not None
        self._storage.sweep(all_settled=True)

    def _wait_for_claims(self) -> None:
        """What became of a killed run's files can be told when its claims have run out."""
        self._ledger.expire_claims()
        begun = [
            effect
            for kind in (FILE, DELETION)
            for effect in self._ledger.list(workflow=WORKFLOW, kind=kind, state=State.BEGUN)
            if f"{effect.digest}".startswith(f"{self._key}/")
        ]
        if not begun:
            return
        now = self._clock()
        rest = max(((effect.claim_expires_at or now) - now).total_seconds() for effect in begun)
        raise Busy(
            "spinoco.sync",
            f"a process that has ended still claims {len(begun)} files of this synchronisation",
            retry_after_s=min(max(rest, 1.0), self._lease_s),
        )

    def _receive(self, page: Page | None) -> SyncPage | None:
        """The page after one that is dealt with; None: there is none."""
        if page is None:
            return self._hook.first_page(self._sync.query(), count=self._sync.page_size)
        if page.cursor is None:
            return None
        try:
            return self._hook.next_page(page.cursor, count=self._sync.page_size)
        except Refused as exc:
            if exc.status not in UNKNOWN_CURSOR or self._asked_anew:
                raise
            self._asked_anew = True
            # It was the cursor of days ago. What the tag has not received comes from its beginning.
            log.warning("Spinoco does not know the cursor of page %s any more; asking anew", page.key)
            return self._hook.first_page(self._sync.query(), count=self._sync.page_size)

    # Files

    def _finish(self, page: Page) -> None:
        """Deal with all files of a page, whatever happened to it before."""
        self._still_ours()
        self.summary.pages += 1
        wanted = {source.key: source for source in page.files}
        self._deal_with(list(wanted.values()))
        log.info("Page %d: %d tasks' files are dealt with (%s)", page.number, len(wanted), self.summary)

    def _retry(self, opened: Collection[str]) -> None:
        """
        Files of closed pages that were not there or not sound, whose next attempt was killed, or that were put back.

        :param opened: keys of pages whose files come with them.
        """
        now = self._clock()
        due: dict[str, list[Effect]] = defaultdict(list)
        for state in (State.PLANNED, State.UNKNOWN):
            for effect in self._ledger.list(workflow=WORKFLOW, kind=FILE, state=state):
                page_key = effect.digest or ""
                if page_key.startswith(f"{self._key}/") and page_key not in opened and _is_due(effect, now):
                    due[page_key].append(effect)
        sources: list[Source] = []
        for key, effects in due.items():
            page = self._book.read(key)
            known = {source.ref: source for source in page.files} if page else {}
            for effect in effects:
                if effect.ref in known:
                    sources.append(known[effect.ref])
                elif effect.state is State.PLANNED:
                    self._set_aside(
                        effect.ref, "page", "is not kept any more: where the file is, nobody knows"
                    )
        size = self._sync.page_size
        for start in range(0, len(sources), size):
            self._deal_with(sources[start : start + size])

    def _deal_with(self, sources: Sequence[Source]) -> None:
        by_ref = {source.ref: source for source in sources}
        effects = self._ledger.begin_all(list(by_ref), lease_s=self._lease_s, run=self._run)
        ours, begun_before, elsewhere = [], set(), []
        for ref, effect in effects.items():
            if effect.state is State.UNKNOWN:
                # Its process has ended, and nobody else is at this synchronisation.
                effect = self._ledger.resume(
                    ref, lease_s=self._lease_s, reason="looking what is stored", attempt=effect.attempts
                )
                begun_before.add(ref)
            if effect.state is State.BEGUN and effect.owner == self._ledger.owner:
                ours.append(effect)
                if effect.attempts > 1:
                    begun_before.add(ref)
            elif effect.state is State.BEGUN:
                elsewhere.append(effect)
            else:
                self.summary.known += effect.state is State.CONFIRMED
        if elsewhere:
            for effect in ours:
                self._give_back(effect.ref, "another synchronisation fetches a file of the same page")
            raise Busy(
                "spinoco.file",
                f"{elsewhere[0].ref} is being fetched by {elsewhere[0].owner}",
                retry_after_s=self._lease_s,
            )
        self._carry_out(
            self._named([by_ref[effect.ref] for effect in ours], begun_before),
            {effect.ref: effect for effect in ours},
        )

    def _named(self, sources: Sequence[Source], begun_before: set[EffectRef]) -> Iterator[Item]:
        """Where each file goes; the first ones, of which each is taken at once, do not wait for the others' names."""
        first = self._sync.parallel
        for part in (sources[:first], sources[first:]):
            if part:
                yield from self._claim_names(part, begun_before)

    def _claim_names(self, sources: Sequence[Source], begun_before: set[EffectRef]) -> Iterator[Item]:
        """Under its own name, or a marked one where that is another file's."""
        wanted: dict[str, str] = {}
        for source in sources:
            try:
                wanted[source.key] = safe_path(source.name)
            except BadRecord as exc:
                self._set_aside(source.ref, exc.field, exc.reason)
        paths = self._names.claim(wanted)
        marked = {key: distinct(path, key) for key, path in wanted.items() if key not in paths}
        paths |= self._names.claim(marked) if marked else {}
        for source in sources:
            if source.key in paths:
                yield Item(source=source, path=paths[source.key], begun_before=source.ref in begun_before)
            elif source.key in wanted:
                self._set_aside(
                    source.ref, "fileName", "belongs to another file, and so does its marked form"
                )

    def _carry_out(self, items: Iterable[Item], effects: Mapping[EffectRef, Effect]) -> None:
        results: list[Moved] = []
        try:
            for moved in self._movers.move(items):
                results.append(moved)  # noqa: PERF402  # what has come counts, whatever the next one raises
        except BaseException as exc:
            # What was stored meanwhile is found again by the next try.
            dealt = {moved.item.source.ref for moved in results if moved.fate is Fate.STORED}
            self._confirm(results)
            for ref in effects:
                if ref not in dealt:
                    self._give_back(ref, f"the run stopped: {type(exc).__name__}")
            raise
        occupied = [moved.item for moved in results if moved.fate is Fate.OCCUPIED]
        self._confirm(results)
        self._judge_outage(results)
        for moved in results:
            if moved.fate not in (Fate.STORED, Fate.OCCUPIED):
                self._put_off(moved, effects[moved.item.source.ref])
        if occupied:
            self._carry_out_marked(occupied, effects)

    def _carry_out_marked(self, items: Sequence[Item], effects: Mapping[EffectRef, Effect]) -> None:
        """Files of somebody we know nothing of have these names: ours go beside them."""
        wanted = {item.source.key: distinct(safe_path(item.source.name), item.source.key) for item in items}
        paths = self._names.claim(wanted)
        again = []
        for item in items:
            path = paths.get(item.source.key)
            if path is None or path == item.path:
                reason = "belongs to another file, and so does its marked form"
                self._set_aside(item.source.ref, "fileName", reason)
            else:
                again.append(Item(source=item.source, path=path, begun_before=True))
        if again:
            self._carry_out(again, {item.source.ref: effects[item.source.ref] for item in again})

    def _confirm(self, results: Iterable[Moved]) -> None:
        """First the manifest, then the ledger: each file that counts as stored is in both."""
        receipts = {moved.item.source.ref: moved.receipt for moved in results if moved.receipt is not None}
        if not receipts:
            return
        self._write_manifest(list(receipts.values()))
        self._storage.flush(receipt["path"] for receipt in receipts.values())
        self._ledger.confirm_all(receipts)
        self._storage.settled(ref.key for ref in receipts)
        self.summary.stored += len(receipts)
        self.summary.bytes += sum(receipt["size"] for receipt in receipts.values())

    def _write_manifest(self, entries: Sequence[dict[str, Any]]) -> None:
        text = "".join(f"{json.dumps(entry, ensure_ascii=False)}\n" for entry in entries)
        digest = sha256(text.encode()).hexdigest()
        day = self._clock().strftime("%Y/%m/%d")
        path = f"{MANIFESTS}/{self._sync.name}/{day}/{digest[:20]}.jsonl"
        store_text(self._storage, text, path, key=f"manifest/{digest[:20]}")
        self._storage.flush([path])

    def _judge_outage(self, results: Sequence[Moved]) -> None:
        """If nothing came of several files, it is not the files."""
        away = [moved for moved in results if moved.fate is Fate.AWAY]
        if len(away) < 2 or len(away) < len(results):
            return
        for moved in away:
            self._give_back(moved.item.source.ref, "Spinoco gives no files")
        raise Unavailable("spinoco.file", f"none of {len(away)} files could be fetched: {away[0].reason}")

    def _put_off(self, moved: Moved, effect: Effect) -> None:
        """Try it again in later runs, up to a limit."""
        age, attempts = self._clock() - effect.created_at, self._attempts(effect.ref)
        match moved.fate:
            case Fate.LATE:
                over = age > timedelta(days=self._sync.late_days)
            case Fate.AWAY:
                over = attempts >= self._sync.attempts and age > AWAY_FOR
            case _:
                over = attempts >= self._sync.attempts
        if over:
            self._set_aside(effect.ref, "file", moved.reason)
            return
        self._ledger.release(effect.ref, f"{PUT_OFF}{moved.reason}")
        self.summary.waiting += 1
        log.warning(
            "A file of task %s %s; it is tried again (attempt %d)",
            moved.item.source.task_id, moved.reason, attempts,
        )  # fmt: skip

    def _attempts(self, ref: EffectRef) -> int:
        """
        How often the file itself was the reason, this time included, since it was last set aside.

        Runs that stopped for other reasons have begun it too.
        """
        attempts = 1
        for event in reversed(self._ledger.events(ref)):
            if event.to_state == State.QUARANTINED:
                break
            attempts += event.to_state == State.PLANNED and (event.reason or "").startswith(PUT_OFF)
        return attempts

    def _set_aside(self, ref: EffectRef, field: str, reason: str) -> None:
        self._ledger.quarantine(ref, field=field, reason=reason)
        self.summary.quarantined += 1
        log.warning("%s is set aside: %s %s", ref, field, reason)

    def _give_back(self, ref: EffectRef, reason: str) -> None:
        effect = self._ledger.get(ref)
        if effect is not None and effect.state is State.BEGUN and effect.owner == self._ledger.owner:
            self._ledger.release(ref, reason)

    # Originals

    def preview(self) -> dict[str, Any]:
        """
        What a run would go on with, without asking for a page: that may count as having received it.

        :return: numbers of open pages, of files that wait, and of originals by what would become of them.
        """
        planned = self._plan_deletions(State.PLANNED, limit=self._sync.max_deletions)
        waiting = self._ledger.list(workflow=WORKFLOW, kind=FILE, state=State.PLANNED)
        return {
            "spinoco": self._hook.probe(),
            "storage": self._storage.place,
            "open_pages": len(self._book.open()),
            "files_waiting": sum((effect.digest or "").startswith(f"{self._key}/") for effect in waiting),
            "to_delete": len(planned.go),
            "beyond_max_deletions": len(planned.wait) + len(self._beyond()),
            "too_young": len(planned.young),
            "held": len(planned.held),
            "without_copy": len(planned.unproved),
        }

    def _plan_deletions(self, state: State, *, limit: int | None) -> Deletions:
        originals = self._originals(state) if self._sync.delete else []
        return plan_deletions(
            originals,
            now=self._clock(),
            keep_days=self._sync.keep_days_before_delete,
            hold=self._sync.hold,
            limit=len(originals) if limit is None else limit,
        )

    def delete_originals(self, *, beyond_limit: bool = False) -> None:
        """
        Delete at Spinoco what the settings permit, each after its stored copy was proved.

        :param beyond_limit: a person has agreed to more than ``max_deletions``.
        :raises Refused: a stored copy is missing or altered; its original stays.
        :raises Unavailable: none could be deleted.
        """
        if not self._sync.delete:
            return
        if beyond_limit:
            self._agree()
        # A killed run had begun them: they were within its limit.
        begun = self._plan_deletions(State.UNKNOWN, limit=None).go
        planned = self._plan_deletions(
            State.PLANNED, limit=None if beyond_limit else self._sync.max_deletions
        )
        for key in planned.wait:
            self._ledger.quarantine(
                EffectRef(WORKFLOW, DELETION, key),
                field=BEYOND,
                reason=f"more than {self._sync.max_deletions} in one run: a person must agree",
            )
        go, size = [*begun, *planned.go], self._sync.page_size
        for start in range(0, len(go), size):
            self._still_ours()
            self._delete([EffectRef(WORKFLOW, DELETION, key) for key in go[start : start + size]])
        self.summary.deletions_waiting = len(self._beyond())
        if self._missing:
            self.summary.unproved = len(self._missing)
            raise Refused(
                "spinoco.delete",
                f"{len(self._missing)} originals stay at Spinoco, for their stored copy {self._missing[0]}. Look at "
                "the storage, then at: python -m interchange quarantine list",
            )

    def _originals(self, state: State) -> list[Original]:
        wanted = self._ledger.list(
            workflow=WORKFLOW,
            kind=DELETION,
            state=state,
            key_prefix=f"{self._key}/",
            created_before=self._clock() - timedelta(days=self._sync.keep_days_before_delete),
        )
        found = []
        for effect in wanted:
            file = self._ledger.get(file_ref_of(effect.ref))
            receipt = file.receipt if file is not None and file.state is State.CONFIRMED else None
            found.append(
                Original(
                    key=effect.ref.key,
                    task_id=effect.ref.key.split("/")[1],
                    stored_at=datetime.fromisoformat(receipt["stored_at"]) if receipt else None,
                    # Of this very place; it is read again before it counts.
                    proved=receipt is not None and receipt["storage"] == self._storage.place,
                )
            )
        return found

    def _beyond(self) -> list[Effect]:
        quarantined = self._ledger.list(
            workflow=WORKFLOW, kind=DELETION, state=State.QUARANTINED, key_prefix=f"{self._key}/"
        )
        return [effect for effect in quarantined if effect.field == BEYOND]

    def _agree(self) -> None:
        for effect in self._beyond():
            self._ledger.replay(effect.ref, by=self._ledger.owner, reason="a person agreed on the form")

    def _delete(self, refs: Sequence[EffectRef]) -> None:
        effects = self._ledger.begin_all(refs, lease_s=self._lease_s, run=self._run)
        work = []
        for ref, effect in effects.items():
            if effect.state is State.UNKNOWN:
                # Deleting again does no harm.
                effect = self._ledger.resume(ref, lease_s=self._lease_s, reason="deleting again")
            if effect.state is State.BEGUN and effect.owner == self._ledger.owner:
                work.append(ref)
        results: list[Deleted] = []
        try:
            for deleted in self._movers.each(self._prove_and_delete, work):
                results.append(deleted)  # noqa: PERF402  # as where files are moved
        except BaseException as exc:
            done = self._finish_deletions(results)
            for ref in work:
                if ref not in done:
                    # Deleted or not: the next try deletes again, which does no harm.
                    self._give_back(ref, f"the run stopped: {type(exc).__name__}")
            raise
        self._finish_deletions(results)
        for deleted in results:
            if deleted.field is not None:
                self._ledger.quarantine(deleted.ref, field=deleted.field, reason=deleted.reason)
                log.error("%s is set aside: %s %s", deleted.ref, deleted.field, deleted.reason)
            elif deleted.receipt is None:
                self._ledger.release(deleted.ref, deleted.reason)
                self.summary.undeleted += 1
        self._missing += [deleted.reason for deleted in results if deleted.field == COPY]
        away = [deleted for deleted in results if deleted.receipt is None and deleted.field is None]
        if len(away) > 1 and len(away) == len(results):
            raise Unavailable(
                "spinoco.delete", f"none of {len(away)} originals could be deleted: {away[0].reason}"
            )

    def _finish_deletions(self, results: Iterable[Deleted]) -> Collection[EffectRef]:
        """First the manifest, then the ledger; what is done."""
        done = {deleted.ref: deleted.receipt for deleted in results if deleted.receipt is not None}
        if done:
            self._write_manifest(list(done.values()))
            self._ledger.confirm_all(done)
            self.summary.deleted += len(done)
        return done.keys()

    def _prove_and_delete(self, ref: EffectRef) -> Deleted:
        file = self._ledger.get(file_ref_of(ref))
        if file is None or file.receipt is None:
            return Deleted(ref=ref, field=COPY, reason="is not in the ledger")
        receipt = file.receipt
        if (wrong := self._movers.storage.prove(receipt["path"], content_of(receipt))) is not None:
            return Deleted(ref=ref, field=COPY, reason=wrong)
        try:
            was_there = self._movers.hook.delete(receipt["source"])
        except RateLimited:
            raise
        except Unavailable as exc:
            return Deleted(ref=ref, reason=str(exc))
        except Refused as exc:
            if exc.status is None or is_not_let_in(exc):
                raise
            return Deleted(
                ref=ref, field="original", reason=f"Spinoco refuses to delete it (HTTP {exc.status})"
            )
        told = {name: receipt[name] for name in ("task", "type", "source", "path", "sha256")}
        moment = self._clock().isoformat(timespec="milliseconds")
        return Deleted(ref=ref, receipt={**told, "deleted_at": moment, "was_there": was_there})


def _is_due(effect: Effect, now: datetime) -> bool:
    """What is only late is looked for ever more seldom."""
    waited = effect.updated_at - effect.created_at
    is_late = (effect.reason or "") == f"{PUT_OFF}{NOT_YET}"
    return not is_late or waited < LATE_OFTEN or now - effect.updated_at >= LATE_AGAIN * waited
