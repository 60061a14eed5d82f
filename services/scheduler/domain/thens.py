"""The row that follows another one once that has ended: it waits, one for each occurrence of its parent.

What must stay true: a parent that does not go out has none.
"""

from collections.abc import Iterator
from datetime import datetime

from services.scheduler.domain.planned import MAIN_LEG, THEN_LEG, InvoiceFacts, PlannedReminder
from shared.flow import Anchor, Flow, Step
from shared.states import ReminderState


def with_then(step: Step, parent: PlannedReminder) -> Iterator[PlannedReminder]:
    """The parent, and its `then` if it has one."""
    yield parent
    if step.then is not None and parent.state is not ReminderState.SKIPPED:
        yield PlannedReminder(
            step=parent.step,
            occurrence=parent.occurrence,
            leg=THEN_LEG,
            anchor=Anchor.PARENT,
            installment_no=parent.installment_no,
            anchor_date=parent.anchor_date,
            requires_open=parent.requires_open,
            urgent=True,
            state=ReminderState.WAITING,
        )


def of_kept(flow: Flow, facts: InvoiceFacts, now: datetime) -> Iterator[PlannedReminder]:
    """The `then` of parents that stay: a re-plan cancelled it with the other rows that had not gone out."""
    due_dates = {entry.no: entry.due_date for entry in facts.installments if entry.open_amount > 0}
    for key in sorted(facts.kept, key=repr):
        installment_no, step_id, occurrence, leg = key
        step = flow.step(step_id)
        if leg != MAIN_LEG or step.then is None or (*key[:3], THEN_LEG) in facts.kept:
            continue
        if installment_no not in due_dates and (step.requires_open or installment_no is not None):
            continue
        ended = key in facts.ended
        yield PlannedReminder(
            step=step_id,
            occurrence=occurrence,
            leg=THEN_LEG,
            anchor=Anchor.PARENT,
            installment_no=installment_no,
            anchor_date=due_dates.get(installment_no) if installment_no is not None else None,
            requires_open=step.requires_open,
            urgent=True,
            state=ReminderState.PENDING if ended else ReminderState.WAITING,
            due_at=now if ended else None,
        )
