"""The toy synthesiser and its preset sets are those of the estimator's tests."""

from tests.tasks.train_sound_matcher.conftest import _here, data_root  # noqa: F401
