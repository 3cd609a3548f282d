"""MLflow follows the journal: a study's parent run, and the child runs of its trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ablate.errors import StoreError
from ablate.scheduling.attempt_tags import Tags
from ablate.scheduling.study_folder import StudyFolder, StudyPlan
from ablate.study.trial import Trial
from ablate.tracking.events import Event
from ablate.tracking.publisher import Store, attempt_key


class MlflowFollower:
    """See `Follower`. All its calls are idempotent, because the store's are."""

    def __init__(
        self,
        store: Store,
        plan: Callable[[], StudyPlan],
        *,
        trials: Mapping[str, Trial],
        folder: StudyFolder,
    ) -> None:
        """`plan` returns what the study is by now: a search finds its arms on the way.

        `trials` by trial_id.
        """
        self._store = store
        self._plan = plan
        self._trials = trials
        self._folder = folder
        # The plan that the study's run was made with.
        self._begun: StudyPlan | None = None
        # Attempt's key -> what made it, where that was not the call that publishes now.
        self._former_tags: Mapping[str, Tags] = {}

    def is_up(self) -> bool:
        """Whether the store answers."""
        try:
            self._store.check_reachable()
        except StoreError:
            return False
        return True

    def begin(self) -> None:
        """Make or find the study's run."""
        plan = self._plan()
        self._former_tags = self._folder.read_tags()
        self._store.start_study(plan.record, plan.tags)
        self._begun = plan

    def tell(self, event: Event) -> None:
        """Publish one event, with the files of its attempt."""
        # A run says which commit trained it, in whatever store and however late it is published.
        key = attempt_key(event.trial_id, event.attempt)
        self._store.publish(
            event,
            trial=self._trials[event.trial_id],
            folder=self._folder.attempt(event.trial_id, event.attempt),
            tags=self._former_tags.get(key),
        )

    def rest(self) -> None:
        """Write what the store holds back of attempts that go on."""
        self._store.rest()

    def settle(self) -> None:
        """Close the runs that the journal knows nothing of."""
        self._store.close_stale()

    def finish(self, status: str) -> None:
        """Close the study's run, which says by then what the study is."""
        # A plan is frozen: another object is a study that has grown since.
        if self._plan() is not self._begun:
            self.begin()
        self._store.rest()
        self._store.finish_study(status)
